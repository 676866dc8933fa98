package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxSocketPath is what the kernel takes, less the closing zero.
const maxSocketPath = 107

// SocketPath is where the agent of a state directory answers. Where the path
// would be too long it is a hashed name in a directory of this user's own.
func SocketPath(stateDir string) string {
	path := filepath.Join(stateDir, "agent.sock")
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(os.TempDir(), fmt.Sprintf("oracle-focus-agent-%d", os.Getuid()), hex.EncodeToString(sum[:8])+".sock")
}

// An Answer serves one request of the socket: body in, JSON value out. An
// error's text and exit code reach the caller as a *Refusal.
type Answer func(ctx context.Context, body []byte) (any, error)

// A Refusal is an error of the running agent.
type Refusal struct {
	Text string `json:"error"`
	Exit int    `json:"exit"`
}

func (r *Refusal) Error() string { return r.Text }

// Listen opens the socket with mode 0600 and serves answers by path until the
// returned function is called. The caller holds the lock of the state
// directory, so a socket file that is there is of an agent that died.
func Listen(stateDir string, answers map[string]Answer) (stop func(), err error) {
	path := SocketPath(stateDir)
	if err := ownDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: handler(answers), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Shutdown
	}()
	return func() {
		cancel()
		late, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = server.Shutdown(late)
		_ = server.Close()
		<-served
	}, nil
}

// ownDir makes sure that dir is a directory of this user that nobody else can
// write to.
func ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || ok && int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s must be a directory of this user that no other can write to", dir)
	}
	return nil
}

func handler(answers map[string]Answer) http.Handler {
	mux := http.NewServeMux()
	for path, answer := range answers {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
			var out any
			if err == nil {
				out, err = answer(r.Context(), body)
			}
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				refusal, ok := errors.AsType[*Refusal](err)
				if !ok {
					refusal = &Refusal{Text: err.Error(), Exit: 1}
				}
				w.WriteHeader(http.StatusConflict)
				out = refusal
			}
			_ = json.NewEncoder(w).Encode(out) // a caller that left needs no answer
		})
	}
	return mux
}

// ErrNotRunning means that no agent answers.
var ErrNotRunning = errors.New("no agent is running")

// ErrEnded: the agent took the question and ended before it answered.
var ErrEnded = errors.New("ended before it answered")

// Ask sends a request to the agent of a state directory. It is ErrNotRunning
// where none answers, and a *Refusal where the agent reports an error.
func Ask(ctx context.Context, stateDir, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", SocketPath(stateDir))
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return ErrNotRunning
	}
	if err != nil {
		return unanswered(ctx, stateDir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(resp.Body).Decode(out)
	}
	refusal := &Refusal{Exit: 1}
	if err := json.NewDecoder(resp.Body).Decode(refusal); err != nil || refusal.Text == "" {
		refusal.Text = "the agent answered " + resp.Status
	}
	return refusal
}

// unanswered says in an operator's words why there is no answer.
func unanswered(ctx context.Context, stateDir string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the agent of %s does not answer: %w", stateDir, context.Cause(ctx))
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the agent of %s belongs to another user: run this command as that user: %w", stateDir, err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the agent of %s %w; run the command again", stateDir, ErrEnded)
	}
	return fmt.Errorf("ask the agent of %s: %w", stateDir, err)
}

// statusFile is the last status of an agent, for when none answers.
func statusFile(stateDir string) string { return filepath.Join(stateDir, "status.json") }

// WriteStatus replaces the status file. A crash leaves the old or the new one.
func WriteStatus(stateDir string, s Status) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temp := statusFile(stateDir) + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, statusFile(stateDir))
}

// ReadStatus returns what the last agent of a state directory wrote; it is not
// running any more.
func ReadStatus(stateDir string) (Status, error) {
	var s Status
	data, err := os.ReadFile(statusFile(stateDir))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	s.Running, s.Phase, s.Ready, s.InFlight = false, Stopped, false, []Transfer{}
	s.Paused = nil // it may have been resumed since
	return s, err
}
