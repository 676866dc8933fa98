package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// A State is what is known of a dependency.
type State string

// The states. Only Failing makes a process not ready.
const (
	OK      State = "ok"
	Pending State = "pending" // nothing has been tried yet
	Failing State = "failing"
)

// A Check is one dependency.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"status"`
	// Since is when it came into this state, Age the seconds from then to now.
	Since time.Time `json:"since,omitzero"`
	Age   float64   `json:"age_seconds"`
	// Last is when it was last known to work.
	Last time.Time `json:"last_success,omitzero"`
	// Detail says what fails in words that give nothing away.
	Detail string `json:"detail,omitempty"`
}

// Readiness says whether a process can do its work now.
type Readiness struct {
	Ready   bool      `json:"ready"`
	Role    string    `json:"role"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	At      time.Time `json:"at"`
	// PausedSince is when an operator paused the route; that is no failure.
	PausedSince time.Time `json:"paused_since,omitzero"`
	Checks      []Check   `json:"checks"`
}

// Judge fills in what follows from the checks.
func (r Readiness) Judge(now time.Time) Readiness {
	r.At = now.UTC()
	r.Ready = !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.State == Failing })
	for i := range r.Checks {
		if c := &r.Checks[i]; !c.Since.IsZero() {
			c.Age = max(0, now.Sub(c.Since).Round(time.Millisecond).Seconds())
		}
	}
	return r
}

func ready(judge func(context.Context) Readiness) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := judge(r.Context())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !state.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(state) // a caller that left needs no answer
	})
}

// A Tracker remembers since when dependencies are in their states, for checks
// that do not know it themselves. The zero value is ready; it is safe for
// concurrent use.
type Tracker struct {
	mu   sync.Mutex
	seen map[string]Check
}

// Track completes c, as it is now, with what was seen of it before.
func (t *Tracker) Track(c Check, now time.Time) Check {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string]Check{}
	}
	old, ok := t.seen[c.Name]
	switch {
	case !c.Since.IsZero():
	case ok && old.State == c.State:
		c.Since = old.Since
	default:
		c.Since = now.UTC()
	}
	if c.Last.IsZero() {
		c.Last = old.Last
	}
	t.seen[c.Name] = c
	return c
}

// Ask requests a probe and returns one line on the outcome. An error is an
// outcome that is not well.
func Ask(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// No proxy of the environment: the process is on this host.
	transport := &http.Transport{DisableKeepAlives: true}
	path := req.URL.Path
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("%s does not answer: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("%s broke off: %w", path, err)
	}
	line := summary(body)
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(strings.TrimSpace(path + " answers " + resp.Status + ": " + line))
	}
	return line, nil
}

// summary is an answer in one line.
func summary(body []byte) string {
	var r Readiness
	if err := json.Unmarshal(body, &r); err != nil || r.Role == "" {
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		return strings.ToValidUTF8(line, "?")
	}
	var parts []string
	for _, c := range r.Checks {
		part := c.Name + " " + string(c.State)
		if c.State == Failing {
			part += fmt.Sprintf(" for %v (%s)", time.Duration(c.Age*float64(time.Second)).Round(time.Second), c.Detail)
		}
		parts = append(parts, part)
	}
	word := "ready"
	if !r.Ready {
		word = "not ready"
	}
	return word + ": " + strings.Join(parts, ", ")
}

// Address is the URL at which a process that listens at listen can be asked from
// its own host.
func Address(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	switch addr, err := netip.ParseAddr(host); {
	case host == "", err == nil && addr.Is4() && addr.IsUnspecified():
		host = "127.0.0.1"
	case err == nil && addr.IsUnspecified():
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
