package chaos

import (
	"fmt"
	"slices"
	"testing"
)

// TestParserFindsTheSameMessagesInPiecesOfAnySize of what goes both ways.
func TestParserFindsTheSameMessagesInPiecesOfAnySize(t *testing.T) {
	t.Parallel()
	const headers = "NATS/1.0\r\nNats-Msg-Id: a b\r\n\r\n"
	said := "CONNECT {\"user\":\"x\"}\r\nPING\r\nSUB _INBOX.1 2\r\n" +
		"PUB $JS.ACK.S.c.1.2.3.4.0 _INBOX.1.x 4\r\n+ACK\r\n" +
		"PUB a 0\r\n\r\n" +
		fmt.Sprintf("HPUB focus.files.live.main.x _INBOX.1.y %d %d\r\n%s{}\r\n\r\n", len(headers), len(headers)+4, headers+"{}\r\n") +
		"MSG focus.files.live.main.x 7 $JS.ACK.S.c.1.9.3.4.0 5\r\nPUB a\r\n" +
		fmt.Sprintf("HMSG _INBOX.1.y 7 %d %d\r\n%sz\r\n", len(headers), len(headers)+1, headers) +
		"-ERR 'Stale Connection'\r\nPONG\r\n"
	want := []string{
		`$JS.ACK.S.c.1.2.3.4.0 "_INBOX.1.x" "" "+ACK"`, `a "" "" ""`, `focus.files.live.main.x "_INBOX.1.y" "a b" "{}\r\n"`,
		`focus.files.live.main.x "$JS.ACK.S.c.1.9.3.4.0" "" "PUB a"`, `_INBOX.1.y "" "a b" "z"`,
	}
	for size := 1; size <= len(said); size++ {
		var got []string
		p := parser{message: func(m message) {
			got = append(got, fmt.Sprintf("%s %q %q %q", m.subject, m.reply, m.header.Get("Nats-Msg-Id"), m.payload))
		}}
		for piece := range slices.Chunk([]byte(said), size) {
			p.write(piece)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d bytes: %q\nwant %q", size, got, want)
		}
	}
}

// TestAPlanFollowsFromItsSeed, whatever time it is.
func TestAPlanFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	shape := func(p Plan) (s []string) {
		for _, e := range p.edits {
			s = append(s, fmt.Sprint(e.at, e.delete, e.object.Content))
		}
		for _, f := range p.faults {
			s = append(s, fmt.Sprint(f.at, f.lasts, f.hazard.Name, f.seed))
		}
		return append(s, fmt.Sprint(p.PutOnly, p.Scanners, p.Copiers, p.Slots, p.Latency))
	}
	const s = 20e9
	one := shape(NewPlan(17, s, nil))
	if !slices.Equal(one, shape(NewPlan(17, s, nil))) {
		t.Error("one seed has two plans")
	}
	if slices.Equal(one, shape(NewPlan(18, s, nil))) {
		t.Error("two seeds have one plan")
	}
}
