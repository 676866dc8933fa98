package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server whose readiness is what state holds.
func serve(t *testing.T, listen string, state *atomic.Pointer[web.Readiness]) *web.Server {
	t.Helper()
	s, err := web.Listen(web.Options{
		Listen: listen, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) web.Readiness { return *state.Load() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func readiness(state web.State) *web.Readiness {
	now := time.Now()
	r := web.Readiness{Role: "run", Checks: []web.Check{
		{Name: "queue", State: web.OK, Since: now.Add(-time.Hour)},
		{Name: "destination", State: state, Since: now.Add(-42 * time.Second), Detail: "forbidden"},
	}}.Judge(now)
	return &r
}

func TestALivingProcessIsAliveWhateverItDependsOn(t *testing.T) {
	var state atomic.Pointer[web.Readiness]
	s := serve(t, "127.0.0.1:0", &state)
	for _, tt := range []struct {
		state web.State
		code  int
		line  string // of Ask for readiness
	}{
		{web.OK, 200, "ready: queue ok, destination ok"},
		{web.Pending, 200, "ready: queue ok, destination pending"},
		{web.Failing, 503, "/readyz answers 503 Service Unavailable: not ready: queue ok, destination failing for 42s (forbidden)"},
	} {
		state.Store(readiness(tt.state))
		for path, want := range map[string]int{"/livez": 200, "/healthz": 200, "/readyz": tt.code, "/": 404} {
			resp, err := http.Get("http://" + s.Addr() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want || err != nil {
				t.Errorf("%s: GET %s = %s, want %d", tt.state, path, resp.Status, want)
			}
			var got web.Readiness
			if path != "/readyz" {
				continue
			}
			if err := json.Unmarshal(body, &got); err != nil || got.Ready != (tt.code == 200) || len(got.Checks) != 2 || got.Checks[1].Age != 42 {
				t.Errorf("readyz = %s (%v)", body, err)
			}
		}
		line, err := web.Ask(t.Context(), web.Address(s.Addr())+web.ReadyPath)
		if err != nil {
			line = err.Error()
		}
		if line != tt.line || (err == nil) != (tt.code == 200) {
			t.Errorf("Ask = %q, want %q", line, tt.line)
		}
		if line, err := web.Ask(t.Context(), web.Address(s.Addr())+web.LivePath); line != "ok" || err != nil {
			t.Errorf("Ask for life = %q, %v", line, err)
		}
	}
	resp, err := http.Post("http://"+s.Addr()+"/readyz", "", nil)
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST = %v, %v", resp, err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	var state atomic.Pointer[web.Readiness]
	s := serve(t, "127.0.0.1:0", &state)
	if _, err := web.Listen(web.Options{Listen: s.Addr(), Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two servers listen on one port")
	}
	s.Close()
	if _, err := web.Ask(t.Context(), web.Address(s.Addr())+web.LivePath); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Ask of a closed server = %v", err)
	}
}

// A process that listens on every interface is asked on loopback.
func TestEveryInterfaceIsAskedOnLoopback(t *testing.T) {
	var state atomic.Pointer[web.Readiness]
	state.Store(readiness(web.OK))
	for _, host := range []string{"", "0.0.0.0"} {
		s := serve(t, net.JoinHostPort(host, "0"), &state)
		_, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := web.Ask(t.Context(), web.Address(net.JoinHostPort(host, port))+web.ReadyPath); err != nil {
			t.Errorf("listening on %q: %v", host, err)
		}
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := web.Ask(ctx, web.Address(l.Addr().String())+web.LivePath); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ask = %v, want the end of the context", err)
	}
}

func TestTheTrackerKeepsWhenAStateBegan(t *testing.T) {
	var tracker web.Tracker
	at := func(second int) time.Time { return time.Date(2026, 3, 1, 0, 0, second, 0, time.UTC) }
	for _, tt := range []struct {
		now, told   int // 0: not told
		state       web.State
		since, last int
	}{
		{now: 1, state: web.OK, since: 1, last: 1},
		{now: 2, state: web.OK, since: 1, last: 2},
		{now: 3, state: web.Failing, since: 3, last: 2},
		{now: 4, state: web.Failing, since: 3, last: 2},
		{now: 9, state: web.Failing, told: 7, since: 7, last: 2},
		{now: 10, state: web.OK, since: 10, last: 10},
	} {
		c := web.Check{Name: "queue", State: tt.state}
		if tt.state == web.OK {
			c.Last = at(tt.now)
		}
		if tt.told > 0 {
			c.Since = at(tt.told)
		}
		c = tracker.Track(c, at(tt.now))
		if !c.Since.Equal(at(tt.since)) || !c.Last.Equal(at(tt.last)) {
			t.Errorf("at %d: since %v, last %v, want %d, %d", tt.now, c.Since, c.Last, tt.since, tt.last)
		}
	}
}
