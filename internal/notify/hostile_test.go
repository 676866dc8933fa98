package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"oracle-focus-agent/internal/notify"
)

// A name of others is one word of a message in every channel: it makes no line, no link,
// no call for everybody, and nothing invisible.
func TestANameIsOneHarmlessWordInEveryChannel(t *testing.T) {
	t.Parallel()
	const name = "MARK\nFORGED line\r\n.\r\nBcc: x@example.com\x1b[2J\u009b\u202egpj\u200b\u2066\ufeff\u2028FORGED <!channel> <http://x|y>"
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	m := serveMail(t, nil)
	o := mailing(m.mail(notify.StartTLS), io.Discard)
	o.Webhook, o.Slack, o.Teams = s.URL+"/webhook", s.URL+"/slack", s.URL+"/teams"
	n, err := notify.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f := fails(notify.DeadLetters)
	f.Text, f.Remedy, f.Files, f.Count = name, name, []string{name}, 1
	n.Raise(f)
	until(t, "all are told", func() bool { return len(s.requests()) == 3 && len(m.got()) == 2 })
	n.Close()

	hold := func(where, text string) {
		t.Helper()
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s has %U in %q", where, r, text)
			}
		}
		if !strings.Contains(text, "MARK") || strings.Contains(text, "\nFORGED") || strings.Contains(text, "\nBcc") || strings.ContainsAny(text, "<>") {
			t.Errorf("%s got %q", where, text)
		}
	}
	for _, request := range s.requests() {
		where, _, _ := strings.Cut(request, " application/json")
		_, body, _ := strings.Cut(request, "oracle-focus-agent/v1 ")
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatalf("%v in %s", err, request)
		}
		hold(where, strings.Join(texts(v), " "))
	}
	for _, l := range m.got() {
		hold("the mail", l.body)
		if l.header.Get("Bcc") != "" || strings.Contains(l.subject, "\n") {
			t.Errorf("the head is %+v", l.header)
		}
	}
}

// texts are all strings of a JSON value.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case map[string]any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	}
	return all
}
