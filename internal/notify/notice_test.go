package notify_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/notify"
)

func replaced(name string) notify.Notice {
	return notify.Notice{
		Condition: notify.Changed, Class: "changed", One: "a delivered report had other bytes", Many: "%d delivered reports had other bytes",
		File: name, Detail: name + ": 5 bytes more", Remedy: "tell finance", After: time.Minute,
	}
}

// However many there are within the time, they are one message; and what comes while
// it is on its way is neither lost nor told twice.
func TestWhatHasNoEndIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(*http.Request) (int, error) {
			time.Sleep(5 * time.Second)
			return 200, nil
		}
		h := &host{answers: []func(*http.Request) (int, error){refused, slow}}
		n, _ := begin(t, h)
		defer n.Close()
		for i := range 7 {
			n.Notice(replaced(fmt.Sprint("file-", i)))
			time.Sleep(time.Second)
		}
		time.Sleep(56 * time.Second) // at 63: refused at 60, sent again at 62, and on its way
		n.Notice(replaced("late"))
		time.Sleep(10 * time.Minute)
		wants(t, h, "notice changed 60", "notice changed 62", "notice changed 123")
		m := h.got[1].Message
		if m.Count != 7 || !reflect.DeepEqual(m.Files, []string{"file-0", "file-1", "file-2", "file-3", "file-4"}) || len(m.Details) != 5 || m.Class != "changed" {
			t.Errorf("the first was %+v", m)
		}
		const want = "oracle-focus-agent NOTICE, route main, scanner/host: 7 delivered reports had other bytes: file-0, file-1, file-2, file-3, file-4 and 2 more. file-0: 5 bytes more. "
		if !strings.HasPrefix(m.Text, want) || !strings.HasSuffix(m.Text, "What to do: tell finance.") {
			t.Errorf("the text is %q", m.Text)
		}
		if m = h.got[2].Message; m.Count != 1 || m.Files[0] != "late" || !strings.Contains(m.Text, ": a delivered report had other bytes: late. late: 5") {
			t.Errorf("the second was %+v", m)
		}
	})
}

func TestWhatIsGatheredIsSentAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		n.Notice(replaced("a"))
		n.Notice(replaced("b"))
		n.Close()
		wants(t, h, "notice changed 0")
		if h.got[0].Count != 2 {
			t.Errorf("%d files were told", h.got[0].Count)
		}
	})
}

// Failures of one condition that have causes begin and end by themselves.
func TestCausesAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		defer n.Close()
		f := fails(notify.DeadLetters)
		for _, cause := range []string{"refused", "length", "refused"} {
			f.Cause, f.Class = cause, cause
			n.Raise(f)
		}
		synctest.Wait()
		n.ClearCause(notify.DeadLetters, "length", "none is left")
		n.Clear(notify.DeadLetters, "of no cause")
		wants(t, h, "failure dead_letters 0", "failure dead_letters 0", "recovery dead_letters 0")
		if h.got[2].Class != "length" {
			t.Errorf("the end is that of %q", h.got[2].Class)
		}
	})
}

// A digest is one message, and that of the day before is not told after it.
func TestADigestReplacesOneThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []func(*http.Request) (int, error){status(200), refused}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Digest(epoch.Add(-24*time.Hour), "all is well", []string{"3 files were delivered", "no file failed"})
		time.Sleep(time.Minute)
		n.Digest(epoch, "yesterday", nil)
		synctest.Wait()
		n.Digest(epoch, "today", nil)
		time.Sleep(time.Hour)
		wants(t, h, "digest digest 0", "digest digest 60", "digest digest 62")
		const want = "oracle-focus-agent DIGEST, route main, scanner/host: all is well. 3 files were delivered. no file failed."
		if m := h.got[0].Message; m.Text != want || !m.Since.Equal(epoch.Add(-24*time.Hour)) || !reflect.DeepEqual(m.Details, []string{"3 files were delivered", "no file failed"}) {
			t.Errorf("the digest was %+v", m)
		}
		if !strings.Contains(h.got[2].Text, "today") {
			t.Errorf("at last it was told %q", h.got[2].Text)
		}
	})
}

// A card is what Slack and Teams get, as far as it is looked at.
type card struct {
	Text   string
	Mrkdwn *bool
	Type   string

	Attachments []struct {
		ContentType string
		Content     struct {
			Type, Version string
			Body          []struct {
				Type    string
				Inlines []struct{ Type, Text, Color string }
			}
		}
	}
}

func TestChatSystemsGetTheirShapes(t *testing.T) {
	t.Parallel()
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	n, err := notify.New(notify.Options{
		Slack: s.URL + "/slack", Teams: s.URL + "/teams", Route: "main", Instance: "run/host", Version: "v1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	f := fails(notify.DeadLetters)
	f.Text, f.Files, f.Count = "<!channel> R&D *fails* [click](http://x)", []string{"a"}, 3
	n.Raise(f)
	until(t, "both are told", func() bool { return len(s.requests()) == 2 })
	n.Close()
	all := strings.Join(s.requests(), "\n")
	for _, line := range s.requests() {
		_, body, _ := strings.Cut(line, "oracle-focus-agent/v1 ")
		var c card
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if strings.Contains(line, "/slack ") {
			const want = "oracle-focus-agent FAILURE, route main: dead_letters\n‹!channel› R&amp;D *fails* [click](http://x), since "
			if !strings.HasPrefix(c.Text, want) || c.Mrkdwn == nil || *c.Mrkdwn || !strings.Contains(c.Text, "\n• a\nand 2 more\nWhat to do: bring it back.\n") {
				t.Errorf("Slack got %+v", c)
			}
			continue
		}
		if c.Type != "message" || len(c.Attachments) != 1 || c.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" {
			t.Fatalf("Teams got %s", body)
		}
		content := c.Attachments[0].Content
		if content.Type != "AdaptiveCard" || content.Version != "1.4" || len(content.Body) != 6 || content.Body[0].Inlines[0].Color != "attention" {
			t.Errorf("Teams got the card %+v", content)
		}
		for _, b := range content.Body {
			if b.Type != "RichTextBlock" || len(b.Inlines) != 1 || b.Inlines[0].Type != "TextRun" || b.Inlines[0].Text == "" {
				t.Errorf("a paragraph that could be taken for Markdown: %+v", b)
			}
		}
	}
	if !strings.Contains(all, "POST /slack application/json") || !strings.Contains(all, "POST /teams application/json") {
		t.Errorf("asked were\n%s", all)
	}
}
