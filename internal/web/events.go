package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// maxListeners bounds how many follow the events, each with a connection of its own.
	maxListeners = 32
	// eventEvery is how often it is looked whether something changed.
	eventEvery = time.Second
	// beatEvery is how often a listener hears that the connection lives.
	beatEvery = 15 * time.Second
	// eventWrite bounds the writing of one event: who reads slower is left.
	eventWrite = 10 * time.Second
)

// events sends the summary, and again whenever it has changed, at most once a second. The
// stream ends with the server; a browser then asks again by itself.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		writeProblem(w, r, NewProblem(http.StatusServiceUnavailable, fmt.Sprintf("%d pages follow the events already", maxListeners), "close some, or load the page again now and then"))
		return
	}
	s := &stream{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies of the kind of nginx
	if s.write("retry: 3000\n\n") != nil {
		return
	}
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	for a.tell(r.Context(), s) {
		select {
		case <-a.ending:
			return
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// A stream is one listener.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	id      int
	last    string
	spoke   time.Time
}

// tell sends what is new, and reports whether the listener is there still.
func (a *api) tell(ctx context.Context, s *stream) bool {
	summary, err := a.view.Summary(ctx)
	if err != nil {
		return ctx.Err() == nil && s.beat()
	}
	if now := essence(summary); now != s.last {
		text, err := json.Marshal(summary)
		if err != nil {
			return false // unreachable: the types hold nothing that JSON lacks
		}
		s.last = now
		s.id++
		return s.write(fmt.Sprintf("id: %d\nevent: summary\ndata: %s\n\n", s.id, text)) == nil
	}
	return s.beat()
}

// beat shows that the connection lives, now and then.
func (s *stream) beat() bool {
	return time.Since(s.spoke) < beatEvery || s.write(": the agent lives\n\n") == nil
}

func (s *stream) write(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(eventWrite)) // a connection without deadlines ends with the server
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	s.spoke = time.Now()
	return s.control.Flush()
}

// essence is a summary without what changes by time alone.
func essence(s Summary) string {
	s.At = time.Time{}
	s.Dependencies = slices.Clone(s.Dependencies)
	for i := range s.Dependencies {
		s.Dependencies[i].Age, s.Dependencies[i].Last = 0, time.Time{}
	}
	s.Workers = slices.Clone(s.Workers)
	for i := range s.Workers {
		s.Workers[i].Heard = time.Time{}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "" // unreachable: the types hold nothing that JSON lacks
	}
	return string(text)
}
