package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// quietView answers with empty values, at once or when it is let go.
type quietView struct {
	View
	hold chan struct{} // nil: at once
}

func (v quietView) Summary(ctx context.Context) (Summary, error) {
	if v.hold != nil {
		select {
		case <-v.hold:
		case <-ctx.Done():
		}
	}
	return Summary{Verdict: Verdict{State: IsCurrent, Sentence: "Up to date."}}, ctx.Err()
}

// serveView listens on loopback with a view behind an access.
func serveView(t *testing.T, v View, a Access) *Server {
	t.Helper()
	s, err := Listen(Options{
		Listen: "127.0.0.1:0", Ready: func(context.Context) Readiness { return Readiness{} }, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler),
		View: v, Actions: readOnly{}, Access: a,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func getCode(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Nobody is let in unproven where others can reach the listener, whatever the
// configuration made of its name.
func TestAPageForOthersNeedsAProof(t *testing.T) {
	t.Parallel()
	o := Options{Listen: "0.0.0.0:0", Ready: func(context.Context) Readiness { return Readiness{} }, Metrics: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), View: quietView{}, Actions: readOnly{}}
	if s, err := Listen(o); err == nil {
		s.Close()
		t.Error("it is served to everybody")
	} else if !strings.Contains(err.Error(), "nobody would prove") {
		t.Errorf("Listen = %v", err)
	}
	o.Access.Token = strings.Repeat("x", 32)
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr())
	if code := getCode(t, "http://127.0.0.1:"+port+"/api/v1/summary"); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
}

// So many requests and listeners are served, and no more; probes are always answered.
func TestTheNumberOfThoseWhoLookIsBounded(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := serveView(t, quietView{hold: hold}, Access{})
	url := "http://" + s.Addr()
	var held sync.WaitGroup
	codes := make(chan int, maxRequests)
	for range maxRequests {
		held.Go(func() { codes <- getCode(t, url+"/api/v1/summary") })
	}
	soon(t, "further requests are refused", func() bool { return getCode(t, url+"/api/v1/nothing") == http.StatusServiceUnavailable })
	if code := getCode(t, url+LivePath); code != http.StatusOK {
		t.Errorf("livez beside them = %d", code)
	}
	close(hold)
	held.Wait()
	close(codes)
	served := 0
	for code := range codes {
		if code == http.StatusOK {
			served++
		}
	}
	if served < maxRequests-2 { // a request of the loop may have had a place for a moment
		t.Errorf("%d of %d were served", served, maxRequests)
	}

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	follow := func() (int, func()) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, func() { resp.Body.Close() }
	}
	for i := range maxListeners {
		code, end := follow()
		defer end()
		if code != http.StatusOK {
			t.Fatalf("listener %d: %d", i, code)
		}
	}
	code, end := follow()
	end()
	if code != http.StatusServiceUnavailable {
		t.Errorf("one listener too many: %d", code)
	}
	leave()
	soon(t, "a place is free again", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events", nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// serveHurried serves a view behind the gate, with a server that has little time.
func serveHurried(t *testing.T, v View) (url string) {
	t.Helper()
	o := Options{View: v, Actions: readOnly{}, Log: slog.New(slog.DiscardHandler)}
	handler, err := o.guarded(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Config.ReadTimeout, s.Config.WriteTimeout = 200*time.Millisecond, 300*time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// An answer may take longer than a request may take to come: else a long preview or the
// events would end in the middle.
func TestAnAnswerMayTakeLongerThanItsRequest(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	url := serveHurried(t, quietView{hold: hold})
	time.AfterFunc(time.Second, func() { close(hold) })
	if code := getCode(t, url+"/api/v1/summary"); code != http.StatusOK {
		t.Errorf("an answer after a second = %d", code)
	}
}

// A request that comes slowly is not waited for.
func TestASlowRequestIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	conn, err := net.Dial("tcp", strings.TrimPrefix(serveHurried(t, quietView{}), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{\"reason\":")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // the connection was closed
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("half a request = %d", resp.StatusCode)
	}
}

// Checking a password costs much on purpose: who tries many waits, or is sent away, and
// one that was right is not computed again.
func TestPasswordsAreCheckedFewAtATime(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), 8)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("anna:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := newGate(Access{UsersFile: file}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ok, problem := g.isUser(t.Context(), "anna", "right")
	if !ok || problem != nil {
		t.Fatalf("the right password: %t %v", ok, problem)
	}
	for range maxProofs { // all turns are taken
		g.proofs <- struct{}{}
	}
	if ok, problem := g.isUser(t.Context(), "anna", "right"); !ok || problem != nil {
		t.Errorf("a password that was right before: %t %v", ok, problem)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if ok, problem := g.isUser(ctx, "anna", "wrong"); ok || problem == nil || problem.Status != http.StatusTooManyRequests {
		t.Errorf("one more to check: %t %v", ok, problem)
	}
	for range maxProofs {
		<-g.proofs
	}
	// An unknown name is compared, too: the time tells nothing of who is known.
	if ok, problem := g.isUser(t.Context(), "bob", "right"); ok || problem != nil {
		t.Errorf("an unknown user: %t %v", ok, problem)
	}
	if len(g.proven) != 1 {
		t.Errorf("%d passwords are remembered", len(g.proven))
	}
}

// What is no file of users is refused, and its words are not repeated.
func TestAFileOfUsersThatSaysNothingIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "names no user", "# nobody\n\n": "names no user", "anna:secret\n": "line 1", "\nanna:$2y$05$secret\n": "line 2", "anna\n": "line 1",
		":$2a$04$7EqJtq98hPqEX7fNZaFWoOhi5B0xgfVYxYF6lIIDDqWy0Y8q0WZaK\n": "line 1",
	} {
		file := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newGate(Access{UsersFile: file}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "anna") {
			t.Errorf("%q = %v, want %q", text, err, want)
		}
	}
}

// Whatever the name, the Host check is about this host alone.
func TestLocalNames(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:80": true, "127.8.9.1:80": true, "localhost": true, "LocalHost:80": true, "[::1]:80": true, "[::1]": true, "::1": true, "[::ffff:127.0.0.1]:80": true,
		"": false, "example.com": false, "localhost.example.com": false, "127.0.0.1.example.com:80": false, "0.0.0.0": false, "[::]:80": false, "10.0.0.1": false, "localhost.": false, "127.1": false, "2130706433": false,
	} {
		if got := localName(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

// Who sends an order slowly keeps others from orders at most, and nobody from looking.
func TestSlowOrdersLeaveThePageToOthers(t *testing.T) {
	t.Parallel()
	s := serveView(t, quietView{}, Access{})
	url := "http://" + s.Addr()
	order := func() net.Conn {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST /api/v1/resume HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n{\"reason\":")
		return conn
	}
	for range maxRequests + 1 {
		order()
	}
	soon(t, "one order too many is sent away", func() bool {
		resp, err := http.Post(url+"/api/v1/resume", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	if code := getCode(t, url+"/api/v1/summary"); code != http.StatusOK {
		t.Errorf("who only looks gets %d", code)
	}
}

// What a caller only claims to be is kept as far as a name goes.
func TestAClaimedNameIsCut(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("x", 32)
	var by Actor
	g, err := newGate(Access{Token: token}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { by = ActorOf(r) }), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for path, via := range map[string]string{"/": "page", "/api/v1/summary": "API"} {
		r := httptest.NewRequest("GET", path, nil)
		r.SetBasicAuth(strings.Repeat("ä", 5000), token)
		g.ServeHTTP(httptest.NewRecorder(), r)
		if by.Who != "token/"+strings.Repeat("ä", longestName) || by.Via != via {
			t.Errorf("%s: %.100q by %q", path, by.Who, by.Via)
		}
	}
}
