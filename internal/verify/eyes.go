package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// patience is how many objects are asked for while each answer is "forbidden" and
	// nothing else is known: keys that may not look cost so many requests.
	patience = 16
	// maxErrors in a row mean that the destination fails, and not an object.
	maxErrors = 10
	// skew is how far the clocks of two hosts may be apart.
	skew = 5 * time.Minute
)

// A right is whether a request is allowed.
type right int

const (
	unknown right = iota
	allowed
	denied
)

// Eyes look at the destination, and learn on the way what they may.
type eyes struct {
	dest    Destination
	workers int

	heads, lists right
	failed       int       // heads that failed, in a row
	held         []Finding // that wait until heads is known
	// whole is the destination by day, where the names of a day cannot be listed alone.
	whole map[messages.Day]map[string]Stored
	// listed is when whole was listed.
	listed time.Time
}

// settled reports whether it is known how the destination can be looked at.
func (e *eyes) settled() bool { return e.heads != unknown }

func (e *eyes) method() string {
	switch {
	case e.heads == allowed:
		return ByHead
	case e.lists == allowed:
		return ByList
	}
	return Unreadable
}

// day lists what stands at the destination of one day, by file name; nil where that is
// not allowed.
func (e *eyes) day(ctx context.Context, rules messages.Rules, d messages.Day) (map[string]Stored, error) {
	if e.lists == denied {
		return nil, nil
	}
	prefix, narrow := rules.Naming.DayPrefix(d)
	if !narrow {
		return e.everyDay(ctx, rules, d)
	}
	there := map[string]Stored{}
	err := e.list(ctx, rules, rules.KeyPrefix+prefix, func(_ messages.Day, name string, s Stored) { there[name] = s })
	if e.lists == denied {
		return nil, nil
	}
	return there, err
}

// everyDay keeps one listing of all days, some 200 bytes for each object: the keys of a
// day have no common beginning.
func (e *eyes) everyDay(ctx context.Context, rules messages.Rules, d messages.Day) (map[string]Stored, error) {
	if e.whole == nil {
		e.listed = time.Now()
		whole := map[messages.Day]map[string]Stored{}
		err := e.list(ctx, rules, rules.KeyPrefix, func(d messages.Day, name string, s Stored) {
			if whole[d] == nil {
				whole[d] = map[string]Stored{}
			}
			whole[d][name] = s
		})
		if err != nil || e.lists == denied {
			return nil, err
		}
		e.whole = whole
	}
	return e.whole[d], nil
}

// list yields the objects whose keys are of our naming. What else stands there is not ours.
func (e *eyes) list(ctx context.Context, rules messages.Rules, prefix string, each func(messages.Day, string, Stored)) error {
	for l, err := range e.dest.List(ctx, prefix) {
		if errors.Is(err, messages.Forbidden) && e.lists == unknown {
			e.lists = denied
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the destination: %w", err)
		}
		key, below := strings.CutPrefix(l.Key, rules.KeyPrefix)
		if d, name, ok := rules.Naming.Parse(key); ok && below {
			each(d, name, l.Stored)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.lists = allowed
	return nil
}

// An answer is that of the destination about one of the found.
type answer struct {
	i   int
	s   Stored
	err error
}

// head asks for the objects of found[ask], and gives each answer to decide. It does not
// decide about those that were forbidden while it is not known what that means: they
// are held. Its error ends the comparison: the destination refuses everything.
func (e *eyes) head(ctx context.Context, found []Finding, ask []int, decide func(*Finding, Stored, error)) error {
	for len(ask) > 0 && e.heads == unknown {
		s, err := e.dest.Head(ctx, found[ask[0]].Report.Key)
		if err := e.take(ctx, found, answer{ask[0], s, err}, decide); err != nil {
			return err
		}
		ask = ask[1:]
	}
	if e.heads == denied { // since a moment ago
		for _, i := range ask {
			decide(&found[i], Stored{}, messages.Forbidden)
		}
		return nil
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	var bad error
	for a := range e.answers(asking, found, ask) {
		if bad == nil {
			if bad = e.take(ctx, found, a, decide); bad != nil {
				cancel()
			}
		}
	}
	return bad
}

// answers asks a few at a time. The channel is closed when nobody asks any more.
func (e *eyes) answers(ctx context.Context, found []Finding, ask []int) <-chan answer {
	next, out := make(chan int), make(chan answer)
	keys := make([]string, len(found)) // found is being decided meanwhile
	for _, i := range ask {
		keys[i] = found[i].Report.Key
	}
	var workers sync.WaitGroup
	for range min(e.workers, len(ask)) {
		workers.Go(func() {
			for i := range next {
				s, err := e.dest.Head(ctx, keys[i])
				out <- answer{i, s, err}
			}
		})
	}
	go func() {
		defer close(out)
		for _, i := range ask {
			if ctx.Err() != nil {
				break
			}
			next <- i
		}
		close(next)
		workers.Wait()
	}()
	return out
}

// take learns from an answer and passes it on.
func (e *eyes) take(ctx context.Context, found []Finding, a answer, decide func(*Finding, Stored, error)) error {
	class := messages.ClassOf(a.err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case a.err == nil || class == messages.Gone:
		e.heads, e.failed = allowed, 0
	case class == messages.Forbidden && e.heads == unknown:
		return e.forbidden(found, a, decide)
	case class == messages.Forbidden:
	case class.Credentials():
		return fmt.Errorf("look at the destination: %w", a.err)
	default:
		if e.failed++; e.failed == maxErrors {
			return fmt.Errorf("look at the destination: %d objects in a row: %w", maxErrors, a.err)
		}
	}
	decide(&found[a.i], a.s, a.err)
	return nil
}

// forbidden takes the answer of a destination that has not shown an object yet. Where
// it can be listed the object is there, and so nobody may look at any. Where it cannot,
// the object may also be missing.
func (e *eyes) forbidden(found []Finding, a answer, decide func(*Finding, Stored, error)) error {
	if e.lists == allowed {
		e.heads = denied
		decide(&found[a.i], a.s, a.err)
		return nil
	}
	e.held = append(e.held, found[a.i])
	if len(e.held) == patience {
		e.heads = denied
	}
	return nil
}
