package notify_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/notify"
)

// TestCallsToAHostThatFails: conditions come and go each second for half an hour, and the
// host hears of none. Its requests follow the back-off alone, which grows from two seconds to
// two minutes with a tenth of jitter, or is the pause that the host asks for.
func TestCallsToAHostThatFails(t *testing.T) {
	const outage = 30 * time.Minute
	for after, c := range map[string]struct{ first, last time.Duration }{ // pauses
		"":     {2 * time.Second, 2 * time.Minute},
		"soon": {2 * time.Second, 2 * time.Minute},
		"60":   {time.Minute, 2 * time.Minute},
		"9999": {5 * time.Minute, 5 * time.Minute},
	} {
		t.Run("Retry-After="+after, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &host{always: status(503), header: http.Header{"Retry-After": {after}}}
				n, _ := begin(t, h)
				for i := range int(outage / time.Second) {
					switch i % 3 {
					case 0:
						n.Raise(fails(notify.Scan))
					case 1:
						n.Clear(notify.Scan, "back")
					case 2:
						n.Notice(notify.Notice{Condition: notify.Changed, File: fmt.Sprint(i), One: "one file", Many: "%d files"})
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				h.mu.Lock()
				got := h.got
				h.mu.Unlock()
				pause := c.first
				for i := range got[1:] {
					d := got[i+1].after - got[i].after
					if d < pause*9/10 || d > pause+time.Second {
						t.Errorf("request %d came after %s, want %s", i+2, d, pause)
					}
					if pause = max(2*time.Second<<(i+1), c.first); pause > c.last || i > 10 {
						pause = c.last
					}
				}
				if least := int(outage / c.last); len(got) < least || len(got) > least+8 {
					t.Errorf("%d requests in %s, want about one each %s", len(got), outage, c.last)
				}
				h.mu.Lock()
				h.always = nil
				h.mu.Unlock()
				n.Close()
			})
		})
	}
}

// TestABeatKeepsTheHostsPause between its three tries.
func TestABeatKeepsTheHostsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{always: status(429), header: http.Header{"Retry-After": {"30"}}}
		n, _ := begin(t, h)
		defer n.Close()
		for range 60 { // one would be due each second
			n.Beat()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if at := h.pings(); len(at) != 3 || at[1] != 30 || at[2] != 60 {
			t.Errorf("pinged at %v s, want 0, 30 and 60", at)
		}
	})
}
