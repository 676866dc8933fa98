package notify_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/notify"
)

func mailing(m notify.Mail, log io.Writer) notify.Options {
	return notify.Options{Email: m, Route: "main", Instance: "run/host", Version: "v1", Log: slog.New(slog.NewTextHandler(log, nil))}
}

func startMail(t *testing.T, m notify.Mail, log io.Writer) *notify.Notifier {
	t.Helper()
	n, err := notify.New(mailing(m, log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func TestMailReachesEachRecipientEncryptedAndAuthenticated(t *testing.T) {
	t.Parallel()
	for _, security := range []notify.Security{notify.StartTLS, notify.Implicit} {
		t.Run(string(security), func(t *testing.T) {
			t.Parallel()
			s := serveMail(t, func(s *mailServer) { s.implicit = security == notify.Implicit })
			n := startMail(t, s.mail(security), io.Discard)
			f := fails(notify.DeadLetters)
			f.Text, f.Files, f.Count = "7 files were given up", []string{"a\nBcc: x@example.com", "b", "c", "d", "e", "f"}, 7
			n.Raise(f)
			until(t, "both got it", func() bool { return len(s.got()) == 2 })
			var to []string
			for _, l := range s.got() {
				to = append(to, l.to)
				if !l.secure || l.user != "focus" || l.from != "focus@example.com" || l.header.Get("From") != `"Focus" <focus@example.com>` {
					t.Errorf("the server got %+v", l)
				}
				if l.subject != "oracle-focus-agent FAILURE, route main: dead_letters" || l.header.Get("Auto-Submitted") != "auto-generated" || l.header.Get("Bcc") != "" {
					t.Errorf("the head is %q, %+v", l.subject, l.header)
				}
				for _, want := range []string{"7 files were given up, since ", "\n• a Bcc: x@example.com\n", "\n• e\nand 2 more\n", "\nWhat to do: bring it back.\n(run/host, version v1)\n"} {
					if !strings.Contains(l.body, want) {
						t.Errorf("the mail lacks %q:\n%s", want, l.body)
					}
				}
			}
			slices.Sort(to)
			if !slices.Equal(to, []string{"finance@example.com", "ops@example.com"}) {
				t.Errorf("it went to %q", to)
			}
			a, err := n.Test(t.Context(), notify.Email)
			if err != nil || a.Host != s.Addr().String() || a.Status != 250 || !strings.Contains(a.Text, "queued as 4711") {
				t.Errorf("Test = %+v, %v", a, err)
			}
			if strings.Contains(s.heard(), "AUTH") && security == notify.StartTLS && strings.Index(s.heard(), "AUTH") < strings.Index(s.heard(), "STARTTLS") {
				t.Error("the password went over the network before the encryption")
			}
		})
	}
}

func TestMailWithoutEncryptionIsForTheRelayOfThisHost(t *testing.T) {
	t.Parallel()
	s := serveMail(t, func(s *mailServer) { s.bare = true })
	n := startMail(t, s.mail(notify.Plain), io.Discard)
	if _, err := n.Test(t.Context(), notify.Email); err != nil || len(s.got()) != 2 {
		t.Errorf("Test = %v with %d mails", err, len(s.got()))
	}
}

// No password leaves the process unencrypted, and none is shown, whatever goes wrong.
func TestThePasswordIsInNoOutput(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server func(*mailServer)
		change func(*notify.Mail)
		want   string
	}{
		"a wrong password, which the server repeats": {nil, func(m *notify.Mail) { m.Password = "wrong-hunter2" }, "check alerts.email.username and alerts.email.password"},
		"a server without STARTTLS":                  {func(s *mailServer) { s.bare = true }, func(m *notify.Mail) { m.Username, m.Password = "focus", mailPassword }, "set alerts.email.tls to implicit"},
		"a certificate that nobody signed":           {nil, func(m *notify.Mail) { m.CA = "" }, "name the CA of your proxy in alerts.email.ca"},
		"a sender that is refused":                   {func(s *mailServer) { s.refuse["MAIL"] = "550 not you, " + mailPassword }, nil, "not shown: it repeats a part of the password"},
		"recipients that are refused":                {func(s *mailServer) { s.refuse["RCPT"] = "550 5.1.1 nobody" }, nil, "5.1.1 nobody"},
		"a server that is full":                      {func(s *mailServer) { s.refuse["DATA"] = "452 4.3.1 full" }, nil, "4.3.1 full"},
		"TLS where the server speaks plainly":        {nil, func(m *notify.Mail) { m.Security = notify.Implicit }, "TLS 1.2 or newer is needed"},
		"nobody at the port":                         {nil, func(m *notify.Mail) { m.Port = 1 }, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveMail(t, tt.server)
			m := s.mail(notify.StartTLS)
			if tt.change != nil {
				tt.change(&m)
			}
			lines := &transcript{}
			n := startMail(t, m, lines)
			_, err := n.Test(t.Context(), notify.Email)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Test = %v, want %q in one line", err, tt.want)
			}
			if pause := notify.TestingOnlyRetryAfter(err); (pause > 5*time.Minute) != strings.Contains(name, "wrong password") {
				t.Errorf("the next try comes after %v: a password that is refused is tried seldom, and nothing else", pause)
			}
			n.Raise(fails(notify.Scan))
			until(t, "the log says it", func() bool { return strings.Contains(lines.String(), "the e-mail cannot be delivered") })
			n.Close()
			all := fmt.Sprint(lines, err)
			for _, secret := range []string{mailPassword, "hunter2", base64.StdEncoding.EncodeToString([]byte("\x00focus\x00" + m.Password))} {
				if strings.Contains(all, secret) {
					t.Errorf("%q was shown: %s", secret, all)
				}
				if s.bare && strings.Contains(s.heard(), secret) {
					t.Errorf("%q went over the network in the clear", secret)
				}
			}
		})
	}
}

func TestARecipientWhomNobodyKnowsKeepsTheMailFromNobodyElse(t *testing.T) {
	t.Parallel()
	s := serveMail(t, func(s *mailServer) { s.refuse["RCPT TO:<finance@"] = "550 5.1.1 nobody" })
	lines := &transcript{}
	n := startMail(t, s.mail(notify.StartTLS), lines)
	if _, err := n.Test(t.Context(), notify.Email); err == nil || !strings.Contains(err.Error(), "taken for 1 of 2 recipients") || !strings.Contains(err.Error(), "finance@example.com") {
		t.Errorf("Test = %v, want who does not get it", err)
	}
	n.Raise(fails(notify.Scan))
	until(t, "the other got it", func() bool { return len(s.got()) == 2 })
	n.Clear(notify.Scan, "back")
	until(t, "and its end", func() bool { return len(s.got()) == 3 })
	if got := s.got(); got[2].subject != "oracle-focus-agent RECOVERY, route main: scan" {
		t.Errorf("the failure came again: %q", got[2].subject)
	}
	if log := lines.String(); strings.Count(log, "level=WARN") != 1 {
		t.Errorf("the log says\n%s", log)
	}
}

// A mail server that is silent holds up neither the work nor the end.
func TestASilentMailServerDelaysTheEndByTwoSeconds(t *testing.T) {
	t.Parallel()
	s := serveMail(t, func(s *mailServer) { s.silent = true })
	lines := &transcript{}
	n := startMail(t, s.mail(notify.StartTLS), lines)
	n.Raise(fails(notify.Scan))
	begun := time.Now()
	n.Close()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	if !strings.Contains(lines.String(), "the e-mail could not be told everything before the end") {
		t.Errorf("the log says %s", lines)
	}
}

func TestAFileOfCertificatesThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := serveMail(t, nil)
	for _, file := range []string{"email_test.go", "none.pem"} {
		m := s.mail(notify.StartTLS)
		m.CA = file
		if _, err := notify.New(mailing(m, io.Discard)); err == nil || !strings.Contains(err.Error(), "alerts.email.ca") {
			t.Errorf("New with the CA %s = %v", file, err)
		}
	}
}

// Each channel has its own memory: one that is away learns what is the case when it
// is back, and the other was told at once.
func TestChannelsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slack, hook := &host{always: refused}, &host{}
		split := byHost{"slack.example.com": slack, "hooks.example.com": hook}
		n, err := notify.TestingOnlyStart(notify.Options{
			Webhook: "https://hooks.example.com/x", Slack: "https://slack.example.com/x", Route: "main", Instance: "run/host", Version: "v1", Log: slog.New(slog.DiscardHandler),
		}, split)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(10 * time.Minute)
		n.Clear(notify.Scan, "back")
		time.Sleep(time.Minute)
		wants(t, hook, "failure scan 0", "recovery scan 600")
		slack.mu.Lock()
		slack.always, slack.got = nil, nil
		slack.mu.Unlock()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		slack.mu.Lock()
		defer slack.mu.Unlock()
		if len(slack.got) != 1 || !strings.Contains(slack.got[0].Text, "RECOVERY") {
			t.Errorf("Slack was told %+v, want the recovery alone", slack.got)
		}
	})
}

func TestKindsAreCountedByThemselves(t *testing.T) {
	t.Parallel()
	s := serveMail(t, nil)
	var mu sync.Mutex
	sent := map[string]int{}
	o := mailing(s.mail(notify.StartTLS), io.Discard)
	o.Sent = func(k notify.Kind, err error) {
		mu.Lock()
		defer mu.Unlock()
		sent[fmt.Sprint(k, err)]++
	}
	n, err := notify.New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Raise(fails(notify.Scan))
	until(t, "it is sent", func() bool { return len(s.got()) == 2 })
	n.Close()
	if len(sent) != 1 || sent["email<nil>"] != 1 || !slices.Equal(n.Channels(), []notify.Kind{notify.Email}) {
		t.Errorf("counted %v by %v", sent, n.Channels())
	}
}
