package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	// maxBody bounds what a request brings, in bytes.
	maxBody = 64 << 10
	// maxRequests bounds how many are answered at the same time.
	maxRequests = 64
	// maxBodies bounds how many of them may be waited for, since who sends slowly keeps a
	// place: the others are left to those who look.
	maxBodies = 16
	// longestName is how much of a name is kept that somebody only claims.
	longestName = 64
	// answerTime bounds an answer: a preview lists a year at Oracle.
	answerTime = 5 * time.Minute
	// maxProofs is how many passwords are checked at the same time: each costs much on
	// purpose. proofWait is how long another one waits for its turn.
	maxProofs = 2
	proofWait = 2 * time.Second
	// usersFresh is how long the file of the users is taken to be as it was.
	usersFresh = time.Second
	maxUsers   = 1 << 20 // bytes of the file
)

// Access says who may use the page and the API, and for what. With neither a token nor a
// file of users everybody may who reaches the listener: then that must be loopback.
type Access struct {
	// Token is asked for as Bearer, or as the password of any user name.
	Token string
	// UsersFile has a line user:bcrypt for each user. It is read again when it changes;
	// while it cannot be read, nobody comes in by it.
	UsersFile string
	// ReadOnly refuses every action.
	ReadOnly bool
}

func (a Access) proves() bool { return a.Token != "" || a.UsersFile != "" }

type actorKey struct{}

// ActorOf is who made a request, as it was proven. The reason is the caller's to fill in.
func ActorOf(r *http.Request) Actor {
	a, _ := r.Context().Value(actorKey{}).(Actor)
	return a
}

// withActor is r as one that a made.
func withActor(r *http.Request, a Actor) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), actorKey{}, a))
}

// A gate lets requests through to the page and the API.
type gate struct {
	access Access
	next   http.Handler
	slots  chan struct{} // of requests
	bodies chan struct{} // of requests that are not here to their end yet
	proofs chan struct{} // of passwords that are being checked
	key    []byte        // of this process, for proven
	log    *slog.Logger

	mu     sync.Mutex
	users  map[string][]byte // bcrypt by name
	read   os.FileInfo       // the file as it was read
	looked time.Time
	proven map[[sha256.Size]byte]bool // passwords that were right, as long as the file is the same
	warned time.Time
}

// newGate refuses an Access that nobody could come in by.
func newGate(a Access, next http.Handler, log *slog.Logger) (*gate, error) {
	g := &gate{access: a, slots: make(chan struct{}, maxRequests), bodies: make(chan struct{}, maxBodies), proofs: make(chan struct{}, maxProofs), log: log}
	g.key = []byte(rand.Text())
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, NewProblem(http.StatusForbidden, "another site sent this order", "give the order on the page itself, or by a program that is no browser"))
	}))
	g.next = csrf.Handler(next)
	if a.UsersFile == "" {
		return g, nil
	}
	return g, g.readUsers()
}

// ServeHTTP asks in the order of what is cheapest to refuse.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	harden(w.Header())
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		writeProblem(w, r, NewProblem(http.StatusServiceUnavailable, "too many requests are being answered", "try again in a moment"))
		return
	}
	if !g.access.proves() && !localName(r.Host) {
		writeProblem(w, r, NewProblem(http.StatusMisdirectedRequest, "this page is for the host that it runs on, and was asked for by another name",
			"ask for it as 127.0.0.1 or localhost; or set http.token (FOCUS_HTTP_TOKEN_FILE) or http.basic_auth_file"))
		return
	}
	actor, problem := g.prove(r)
	if problem != nil {
		if problem.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="oracle-focus-agent", charset="UTF-8"`)
		}
		writeProblem(w, r, problem)
		return
	}
	if problem := g.takeBody(w, r); problem != nil {
		writeProblem(w, r, problem)
		return
	}
	// The whole request is here: from now on it is the answer that may take its time. A
	// connection without deadlines ends with the server.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	actor.Via = "page"
	if strings.HasPrefix(r.URL.Path, apiPath) {
		actor.Via = "API"
	}
	g.next.ServeHTTP(w, withActor(r, actor))
}

// takeBody waits for the end of a request.
func (g *gate) takeBody(w http.ResponseWriter, r *http.Request) *Problem {
	if r.Body == http.NoBody {
		return nil
	}
	select {
	case g.bodies <- struct{}{}:
		defer func() { <-g.bodies }()
	default:
		return NewProblem(http.StatusServiceUnavailable, "too many orders are being sent", "try again in a moment")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return bodyProblem(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func bodyProblem(err error) *Problem {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", maxBody), "name fewer files")
	}
	return NewProblem(http.StatusBadRequest, "the request broke off", "send it again")
}

// harden sets what every answer of page and API carries. Nothing is fetched from
// elsewhere, nothing is framed, nothing is kept, and nothing is taken for what it is not.
func harden(h http.Header) {
	for name, value := range map[string]string{
		"Content-Security-Policy":      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
	} {
		h.Set(name, value)
	}
}

// localName tells whether a Host means this host and cannot be a name of somebody else's
// that was pointed to it.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// prove says who made a request, or why nobody is let in.
func (g *gate) prove(r *http.Request) (Actor, *Problem) {
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		from = r.RemoteAddr
	}
	if !g.access.proves() {
		return Actor{Who: "somebody", From: from}, nil
	}
	no := NewProblem(http.StatusUnauthorized, "page and API are for those who prove who they are", "send the token as Bearer, or a user name with its password")
	header := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(header, "Bearer "); ok {
		if g.isToken(token) {
			return Actor{Who: "token", From: from}, nil
		}
		g.refused(from)
		return Actor{}, no
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return Actor{}, no
	}
	if g.isToken(password) { // the name is only claimed
		if name := []rune(user); len(name) > longestName {
			user = string(name[:longestName])
		}
		return Actor{Who: "token/" + cmp.Or(user, "unnamed"), From: from}, nil
	}
	right, problem := g.isUser(r.Context(), user, password)
	switch {
	case problem != nil:
		return Actor{}, problem
	case right:
		return Actor{Who: user, From: from}, nil
	}
	g.refused(from)
	return Actor{}, no
}

// refused says in the log, at most once a minute, that somebody could not prove who they are.
func (g *gate) refused(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.warned).Abs() >= time.Minute {
		g.warned = now
		g.log.Warn("somebody could not prove who they are to the status page; more of it is not told for a minute", "from", from)
	}
}

// isToken compares in a time that tells nothing of where the difference is.
func (g *gate) isToken(s string) bool {
	want, got := sha256.Sum256([]byte(g.access.Token)), sha256.Sum256([]byte(s))
	return g.access.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// isUser checks a password. One that was right is not computed again while the file is
// the same, so that a page with ten requests costs one.
func (g *gate) isUser(ctx context.Context, user, password string) (bool, *Problem) {
	if g.access.UsersFile == "" {
		return false, nil
	}
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(user + "\x00" + password))
	sum := [sha256.Size]byte(mac.Sum(nil))
	g.mu.Lock()
	if err := g.refreshUsers(); err != nil {
		g.mu.Unlock()
		g.log.Error("http.basic_auth_file cannot be read, so nobody comes in by it", "err", err)
		return false, NewProblem(http.StatusServiceUnavailable, "nobody can prove who they are now", "the log of the agent says what is wrong with http.basic_auth_file")
	}
	hash, known := g.users[user]
	proven, stand := g.proven[sum], g.read
	if !known {
		hash = g.anyHash()
	}
	g.mu.Unlock()
	if proven {
		return true, nil
	}
	if problem := g.turn(ctx); problem != nil {
		return false, problem
	}
	defer func() { <-g.proofs }()
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
	g.mu.Lock()
	defer g.mu.Unlock()
	if right && stand == g.read {
		if len(g.proven) >= 100 {
			clear(g.proven)
		}
		g.proven[sum] = true
	}
	return right, nil
}

// anyHash is compared with where a user is unknown, so that it takes the time of a known
// one. g.mu is held.
func (g *gate) anyHash() []byte {
	for _, hash := range g.users {
		return hash
	}
	return nil
}

func (g *gate) turn(ctx context.Context) *Problem {
	late := time.NewTimer(proofWait)
	defer late.Stop()
	select {
	case g.proofs <- struct{}{}:
		return nil
	case <-late.C:
	case <-ctx.Done():
	}
	return NewProblem(http.StatusTooManyRequests, "too many passwords are being checked", "try again in a moment")
}

// refreshUsers reads the file again where it has changed. g.mu is held.
func (g *gate) refreshUsers() error {
	if now := time.Now(); now.Sub(g.looked).Abs() >= usersFresh {
		g.looked = now
		info, err := os.Stat(g.access.UsersFile)
		if err != nil {
			g.read = nil
			return err
		}
		if g.read == nil || !os.SameFile(info, g.read) || info.ModTime() != g.read.ModTime() || info.Size() != g.read.Size() {
			g.read = nil
			return g.loadUsers()
		}
	}
	if g.read == nil {
		return errors.New("it could not be read a moment ago")
	}
	return nil
}

func (g *gate) readUsers() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looked = time.Now()
	return g.loadUsers()
}

// loadUsers reads the file. Its errors name lines and no words of them.
func (g *gate) loadUsers() error {
	f, err := os.Open(g.access.UsersFile)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxUsers))
	if err != nil {
		return err
	}
	users := map[string][]byte{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || name == "" || err != nil {
			return fmt.Errorf("line %d is not user:bcrypt; `htpasswd -nB NAME` writes such a line", number)
		}
		users[name] = []byte(hash)
	}
	if len(users) == 0 {
		return errors.New("it names no user; `htpasswd -nB NAME` writes a line for one")
	}
	g.users, g.read, g.proven = users, info, map[[sha256.Size]byte]bool{}
	return nil
}

// readOnly refuses every action. Previews and reports only look.
type readOnly struct{ Actions }

func (readOnly) refuse() error {
	return NewProblem(http.StatusForbidden, "page and API only show here: http.read_only is set", "use the commands on the host of the agent, or set http.read_only to false")
}

func (o readOnly) Scan(context.Context, Actor) (Job, error)                 { return Job{}, o.refuse() }
func (o readOnly) Retry(context.Context, Actor, FailedOrder) (Job, error)   { return Job{}, o.refuse() }
func (o readOnly) Discard(context.Context, Actor, FailedOrder) (Job, error) { return Job{}, o.refuse() }
func (o readOnly) Backfill(context.Context, Actor, BackfillOrder) (Job, error) {
	return Job{}, o.refuse()
}
func (o readOnly) Pause(context.Context, Actor) (Job, error)               { return Job{}, o.refuse() }
func (o readOnly) Resume(context.Context, Actor) (Job, error)              { return Job{}, o.refuse() }
func (o readOnly) Verify(context.Context, Actor, VerifyOrder) (Job, error) { return Job{}, o.refuse() }
func (o readOnly) TestAlert(context.Context, Actor) (Job, error)           { return Job{}, o.refuse() }

// writeProblem answers with a problem, to people in words.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	if !strings.HasPrefix(r.URL.Path, apiPath) && strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.Status)
		fmt.Fprintln(w, p.Error())
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller that left needs no answer
}
