package notify_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// path is the secret of an address, in each of the places where services put one.
const path = "/services/" + canary + "?token=hunter%2F2canary"

// A service is a server that somebody else runs.
type service struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func serve(t *testing.T, secure bool, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a request that broke off is one without a message
		s.mu.Lock()
		s.got = append(s.got, r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Type")+" "+r.UserAgent()+" "+string(body))
		s.mu.Unlock()
		answer(w, r)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.got...)
}

// trusting is the network, with the certificate of s among the trusted.
func (s *service) trusting() http.RoundTripper {
	t := notify.TestingOnlyTransport()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t
}

func options(address string, log io.Writer) notify.Options {
	return notify.Options{
		Heartbeat: address + path, Webhook: address + path, Route: "main", Instance: "run/host", Version: "v1",
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// until polls.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestItTellsOverTLS(t *testing.T) {
	t.Parallel()
	s := serve(t, true, func(http.ResponseWriter, *http.Request) {})
	var mu sync.Mutex
	sent := map[notify.Kind]int{}
	o := options(s.URL, io.Discard)
	o.Sent = func(k notify.Kind, err error) {
		mu.Lock()
		defer mu.Unlock()
		sent[k]++
		if err != nil {
			t.Error(err)
		}
	}
	n, err := notify.TestingOnlyStart(o, s.trusting())
	if err != nil {
		t.Fatal(err)
	}
	n.Beat()
	n.Raise(fails(notify.Queue))
	until(t, "both arrive", func() bool { return len(s.requests()) == 2 })
	n.Close()
	all := strings.Join(s.requests(), "\n")
	for _, want := range []string{"GET " + path + "  oracle-focus-agent/v1 ", "POST " + path + " application/json oracle-focus-agent/v1 {"} {
		if !strings.Contains(all, want) {
			t.Errorf("the service got\n%s\nwithout %q", all, want)
		}
	}
	if sent[notify.Heartbeat] != 1 || sent[notify.Webhook] != 1 {
		t.Errorf("counted %v", sent)
	}
}

// No log line and no error holds a part of an address, whatever goes wrong.
func TestTheAddressIsInNoOutput(t *testing.T) {
	t.Parallel()
	echo := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			fmt.Fprintf(w, "Cannot %s %s", r.Method, strings.ToUpper(r.URL.Path))
		}
	}
	untrusted := serve(t, true, echo(200))
	plain := serve(t, false, echo(404))
	moved := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusFound)
	})
	for name, tt := range map[string]struct{ address, want string }{
		"a certificate that nobody signed": {untrusted.URL, "SSL_CERT_FILE"},
		"a page that repeats the address":  {plain.URL, "answers 404 Not Found"},
		"a redirect":                       {moved.URL, "a redirect, which is not followed"},
		"a host without TLS":               {"https://" + plain.Listener.Addr().String(), "TLS 1.2 or newer is needed"},
		"nobody at the port":               {"http://" + unused(t), "connection refused"},
		"a server that only repeats":       {"http://" + repeater(t), "not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := &transcript{}
			o := options(tt.address, lines)
			var errs strings.Builder
			var mu sync.Mutex
			o.Sent = func(_ notify.Kind, err error) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(&errs, err)
			}
			n, err := notify.New(o)
			if err != nil {
				t.Fatal(err)
			}
			n.Raise(fails(notify.Scan))
			n.Beat()
			until(t, "both were tried", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return strings.Count(errs.String(), "\n") >= 2
			})
			answer, err := n.Test(t.Context(), notify.Webhook)
			n.Close() // and so the beat is given up
			if n := strings.Count(lines.String(), "cannot be delivered"); n != 2 {
				t.Errorf("%d failures are logged, want one of each kind:\n%s", n, lines)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Test = %v, want %q", err, tt.want)
			}
			all := strings.ToLower(fmt.Sprint(lines, errs.String(), answer, err))
			for _, part := range []string{"canary", "hunter", "services", "token"} {
				if strings.Contains(all, part) {
					t.Errorf("%q of the address was shown: %s", part, all)
				}
			}
		})
	}
	t.Cleanup(func() {
		if followed := strings.Join(plain.requests(), ""); strings.Contains(followed, "POST /services/"+canary+" ") || strings.Contains(followed, "GET /services/"+canary+" ") {
			t.Error("a redirect was followed")
		}
	})
}

// unused is an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// repeater is the address of a server that sends back what it gets.
func repeater(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				_, _ = io.CopyN(c, c, 200) // the client has gone
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

func TestATestSaysWhatWasAnswered(t *testing.T) {
	t.Parallel()
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok\n") })
	n, err := notify.New(options(s.URL, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	a, err := n.Test(t.Context(), notify.Webhook)
	if err != nil || a != (notify.Answer{Host: s.Listener.Addr().String(), Status: 200, Text: "ok"}) {
		t.Errorf("Test = %+v, %v", a, err)
	}
	if got := s.requests(); len(got) != 1 || !strings.Contains(got[0], `"event":"test"`) || !strings.Contains(got[0], "nothing has failed") {
		t.Errorf("the service got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Test(ctx, notify.Webhook); err == nil {
		t.Error("Test of a command that was interrupted succeeds")
	}
}

func TestAnAddressThatIsNoneIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"https://host:port/" + canary, "/" + canary, "https:///" + canary, "%zz" + canary} {
		_, err := notify.New(notify.Options{Webhook: address, Log: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), "alerts.webhook_url") {
			t.Errorf("New(%q) = %v", address, err)
		}
	}
}

func TestWithoutAddressesNothingIsTold(t *testing.T) {
	t.Parallel()
	n, err := notify.New(notify.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.Beat()
	n.Raise(fails(notify.Scan))
	n.Clear(notify.Scan, "back")
	if _, err := n.Test(t.Context(), notify.Webhook); err == nil {
		t.Error("Test succeeds without a webhook")
	}
	n.Close()
}

// TestTheDocumentedShapeIsTheRealOne reads the example of the documentation.
func TestTheDocumentedShapeIsTheRealOne(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	var fields map[string]any
	if err := json.Unmarshal([]byte(example), &fields); err != nil {
		t.Fatalf("the example of docs/alerts.md: %v", err)
	}
	want := map[string]bool{}
	for f := range reflect.TypeFor[notify.Message]().Fields() {
		if name := f.Tag.Get("json"); name != "" {
			want[name] = true
		}
	}
	for name := range want {
		if _, ok := fields[name]; !ok {
			t.Errorf("docs/alerts.md lacks the field %q", name)
		}
	}
	for name := range fields {
		if !want[name] {
			t.Errorf("docs/alerts.md shows %q, which no message has", name)
		}
	}
	for _, c := range []notify.Condition{notify.Scan, notify.Source, notify.Destination, notify.Queue, notify.DeadLetters, notify.Held, notify.Expiring, notify.Changed, notify.Digest} {
		if !strings.Contains(string(text), "| `"+string(c)+"` |") {
			t.Errorf("docs/alerts.md does not explain the condition %q", c)
		}
	}
}
