package copier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

// openAfter is how many distinct files in a row must fail by the same side.
const openAfter = 3

// A Gate keeps the copiers from hammering a side that fails as a whole. Three
// distinct files that fail in a row by one side open it; while it is open, one
// slot tries one message per probe interval and the others take none; the first
// success closes it. A failure among successes belongs to its file.
type Gate struct {
	// Probe is the time between two tries while open.
	Probe time.Duration
	// Changed is told when the gate opens and closes; may be nil.
	Changed func(GateState)

	mu      sync.Mutex
	failing []string // distinct names in a row, by side
	state   GateState
	next    time.Time // of the next probe
	probing bool
	wake    chan struct{} // closed when a waiting slot should look again
}

// A GateState says whether, since when and why a side is left alone.
type GateState struct {
	Open   bool           `json:"open"`
	Side   messages.Side  `json:"side,omitempty"`
	Class  messages.Class `json:"class,omitempty"`
	Since  time.Time      `json:"since,omitzero"`
	Probes int            `json:"probes,omitempty"`
	Err    error          `json:"-"`
}

// State returns the present state.
func (g *Gate) State() GateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// A pass is a slot's permission to take one message.
type pass struct{ probe, used bool }

// enter waits until the slot may take a message; ok is false when ctx ended, or where the
// slot does not stay. A slot that does not take from every lane may not probe: it could
// find none where there are some. ask tells both before each look, since the crew may
// change during a wait, and the last slot is to probe whatever it was before. alive is
// told how long each wait may take.
func (g *Gate) enter(ctx context.Context, ask func() (mayProbe, stays bool), alive func(time.Duration)) (p pass, ok bool) {
	for ctx.Err() == nil {
		mayProbe, stays := ask()
		if !stays {
			return pass{}, false
		}
		wake, wait, p, ok := g.look(mayProbe)
		if ok {
			return p, true
		}
		alive(wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
		}
		timer.Stop()
	}
	return pass{}, false
}

func (g *Gate) look(mayProbe bool) (wake <-chan struct{}, wait time.Duration, p pass, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wake == nil {
		g.wake = make(chan struct{})
	}
	wait = time.Until(g.next)
	switch {
	case !g.state.Open:
		return nil, 0, pass{}, true
	case mayProbe && !g.probing && wait <= 0:
		g.probing = true
		return nil, 0, pass{probe: true}, true
	case !mayProbe || g.probing: // leave or succeeded wakes it
		wait = g.Probe
	}
	return g.wake, max(wait, 10*time.Millisecond), pass{}, false
}

// leave gives the permission back. A probe that found no message does not count.
func (g *Gate) leave(p pass) {
	if !p.probe {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
	if p.used && g.state.Open {
		g.state.Probes++
		g.notBefore(g.Probe)
	}
	g.stir()
}

// notBefore puts the next probe off: it never comes earlier than somebody asked for.
func (g *Gate) notBefore(d time.Duration) {
	if at := time.Now().Add(d); at.After(g.next) {
		g.next = at
	}
}

// failed counts a failure and reports whether the gate is open. While it is, no probe
// comes before the pause is over that the side asked for.
func (g *Gate) failed(side messages.Side, class messages.Class, name string, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	entry := string(side) + "\x00" + name
	g.failing = slices.DeleteFunc(g.failing, func(s string) bool { return s == entry || !strings.HasPrefix(s, string(side)) })
	g.failing = append(g.failing, entry)
	if g.state.Open {
		g.state.Side, g.state.Class, g.state.Err = side, class, err
		g.notBefore(messages.PauseOf(err))
		return true
	}
	if len(g.failing) < openAfter {
		return false
	}
	g.state = GateState{Open: true, Side: side, Class: class, Since: time.Now().UTC(), Err: err}
	g.next = time.Now().Add(max(g.Probe/6, messages.PauseOf(err))) // most outages are short
	g.changed()
	return true
}

// errBarred is in the error of a file that is not written, since others could not be.
var errBarred = errors.New("others could not be written meanwhile")

// bars is the error of a file that was read while others failed by the destination, and
// opened the gate: it would fare no better. nil where none did.
func (g *Gate) bars(key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.state.Open || g.state.Side != messages.Destination {
		return nil
	}
	return &messages.Fault{Class: g.state.Class, Side: g.state.Side, Op: "send " + key, Err: errBarred, RetryAfter: messages.PauseOf(g.state.Err)}
}

// succeeded closes the gate.
func (g *Gate) succeeded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing = nil
	if !g.state.Open {
		return
	}
	g.state = GateState{}
	g.stir()
	g.changed()
}

func (g *Gate) stir() {
	if g.wake != nil {
		close(g.wake)
		g.wake = nil
	}
}

func (g *Gate) changed() {
	if g.Changed != nil {
		g.Changed(g.state)
	}
}
