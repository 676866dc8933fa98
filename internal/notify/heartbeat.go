package notify

import (
	"net/http"
	"time"
)

const (
	// beatTries is how often one beat is tried.
	beatTries = 3
	// beatPause lies between the first two tries, and twice that before the third.
	beatPause = 2 * time.Second
)

// A heartbeat is pinged by GET, as the services for it expect.
type heartbeat struct {
	*target
	book
	due chan struct{} // holds one
}

func (h *heartbeat) beat() {
	select {
	case h.due <- struct{}{}:
	default: // one waits already
	}
}

func (h *heartbeat) run(l life) {
	for {
		select {
		case <-h.due:
			h.note(h.ping(l))
		case <-l.ending:
			select {
			case <-h.due:
				h.note(h.ping(l))
			default:
			}
			return
		}
	}
}

// ping tries one beat, with the pauses that the host asks for where they are longer. At
// the end of the life there is no time for pauses.
func (h *heartbeat) ping(l life) (err error) {
	for n := range beatTries {
		_, err = h.request(l.ctx, http.MethodGet, nil)
		if h.count(err); err == nil {
			return nil
		}
		rest := retryAfter(err)
		if n < beatTries-1 {
			rest = max(rest, beatPause<<n)
		}
		if !l.pause(rest) {
			break
		}
	}
	return err
}

// pause waits, and reports whether the life goes on.
func (l life) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ending:
		return false
	}
}
