package notify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/notify"
)

// A host answers in place of the network, so that time can be that of synctest.
type host struct {
	mu      sync.Mutex
	answers []func(*http.Request) (int, error) // of the next requests; then 200
	always  func(*http.Request) (int, error)   // in place of 200
	header  http.Header
	got     []request
	now, at int // requests under way, and how many at most
}

type request struct {
	method string
	after  time.Duration // since the start of the test
	notify.Message
}

func (h *host) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	got := request{method: r.Method, after: time.Since(epoch)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &got.Message); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	h.got = append(h.got, got)
	answer := h.always
	if len(h.answers) > 0 {
		answer, h.answers = h.answers[0], h.answers[1:]
	}
	h.now++
	h.at = max(h.at, h.now)
	h.mu.Unlock()
	code := http.StatusOK
	if answer != nil {
		code, err = answer(r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: h.header, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

// epoch is when every synctest bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func status(code int) func(*http.Request) (int, error) {
	return func(*http.Request) (int, error) { return code, nil }
}

func refused(*http.Request) (int, error) { return 0, errors.New("connection refused") }

// silent never answers.
func silent(r *http.Request) (int, error) {
	<-r.Context().Done()
	return 0, r.Context().Err()
}

// heard is what the webhook was told: event, condition and second.
func (h *host) heard() (heard []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.got {
		heard = append(heard, fmt.Sprintf("%s %s %.0f", r.Event, r.Condition, r.after.Seconds()))
	}
	return heard
}

// pings are the seconds in which requests came.
func (h *host) pings() (at []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.got {
		at = append(at, int(r.after.Seconds()))
	}
	return at
}

func wants(t *testing.T, h *host, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := h.heard(); !slices.Equal(got, want) {
		t.Errorf("the webhook was told\n%q, want\n%q", got, want)
	}
}

// A transcript is a log that can be read.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const canary = "T0CANARY/B0/hunter2"

// begin starts a notifier whose addresses are known only to the host.
func begin(t *testing.T, h *host) (*notify.Notifier, *transcript) {
	t.Helper()
	lines := &transcript{}
	n, err := notify.TestingOnlyStart(notify.Options{
		Heartbeat: "https://ping.example.com/" + canary, Webhook: "https://hooks.example.com/services/" + canary,
		Route: "main", Instance: "scanner/host", Version: "v1", Log: slog.New(slog.NewTextHandler(lines, nil)),
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	return n, lines
}

func fails(c notify.Condition) notify.Failure {
	return notify.Failure{Condition: c, Class: "connection", Text: "it is away", Remedy: "bring it back"}
}

func TestAConditionIsToldOnceWhenItBeginsAndOnceWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		defer n.Close()
		n.Clear(notify.Scan, "it never failed")
		wants(t, h)
		n.Raise(fails(notify.Scan))
		n.Raise(fails(notify.Scan))
		wants(t, h, "failure scan 0")
		time.Sleep(5 * time.Second)
		n.Raise(fails(notify.Scan))
		n.Raise(fails(notify.Queue))
		n.Clear(notify.Scan, "it is back")
		n.Clear(notify.Scan, "it is back")
		wants(t, h, "failure scan 0", "failure queue 5", "recovery scan 5")
		n.Raise(fails(notify.Scan))
		wants(t, h, "failure scan 0", "failure queue 5", "recovery scan 5", "failure scan 5")
	})
}

func TestAMessageHasItsWholeShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		defer n.Close()
		f := fails(notify.Source)
		f.Text = "every file fails:\n <!channel> look"
		n.Raise(f)
		time.Sleep(time.Minute)
		n.Clear(notify.Source, "files come again")
		synctest.Wait()
		want := notify.Message{
			Event: notify.Failed, Condition: notify.Source, Class: "connection", Remedy: "bring it back", Route: "main", Instance: "scanner/host",
			Since: epoch, At: epoch, Version: "v1", Files: []string{}, Details: []string{},
			Text: "oracle-focus-agent FAILURE, route main, scanner/host: every file fails: ‹!channel› look, since 2000-01-01 00:00:00 UTC. What to do: bring it back.",
		}
		if !reflect.DeepEqual(h.got[0].Message, want) || h.got[0].method != http.MethodPost {
			t.Errorf("the failure was %s %+v, want %+v", h.got[0].method, h.got[0].Message, want)
		}
		want.Event, want.Remedy, want.At = notify.Recovered, "", epoch.Add(time.Minute)
		want.Text = "oracle-focus-agent RECOVERY, route main, scanner/host: files come again. It failed from 2000-01-01 00:00:00 UTC to 2000-01-01 00:01:00 UTC."
		if !reflect.DeepEqual(h.got[1].Message, want) {
			t.Errorf("the recovery was %+v, want %+v", h.got[1].Message, want)
		}
	})
}

func TestWhatComesAndGoesIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		defer n.Close()
		f := fails(notify.Source)
		f.After = time.Minute
		for range 5 { // too short to be told
			n.Raise(f)
			time.Sleep(40 * time.Second)
			n.Clear(notify.Source, "back")
			time.Sleep(20 * time.Second)
		}
		f.Again = true
		n.Raise(f)
		n.Clear(notify.Source, "back")
		f.Again = false
		time.Sleep(time.Hour)
		wants(t, h)
		for range 9 { // it lasts, however often it is noticed
			n.Raise(f) // at 3900 first
			time.Sleep(10 * time.Second)
		}
		wants(t, h, "failure source 3960")
		for range 5 { // the ends are too short now
			n.Clear(notify.Source, "back")
			time.Sleep(40 * time.Second)
			n.Raise(f)
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Hour)
		wants(t, h, "failure source 3960")
		n.Clear(notify.Source, "back") // at 7890
		time.Sleep(time.Hour)
		wants(t, h, "failure source 3960", "recovery source 7950")
		if since := h.got[1].Since.Sub(epoch); since != 3900*time.Second {
			t.Errorf("the recovery speaks of a failure since %v, want that which was told, since 65m", since)
		}
	})
}

func TestMoreOfAConditionIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{}
		n, _ := begin(t, h)
		defer n.Close()
		f := fails(notify.DeadLetters)
		f.Again = true
		n.Raise(f)
		synctest.Wait()
		n.Raise(f)
		wants(t, h, "failure dead_letters 0", "failure dead_letters 0")
		h.answers = append(h.answers, refused)
		n.Raise(f)
		n.Clear(notify.DeadLetters, "none is left")
		time.Sleep(10 * time.Second)
		if heard := h.heard(); heard[len(heard)-1] != "recovery dead_letters 2" {
			t.Errorf("the webhook was told %q, want a recovery at last", heard)
		}
	})
}

// A host that is away is tried until it is back, ever less often, and then told
// what is the case: of each condition the newest message, and no other.
func TestAHostThatIsAwayLearnsWhatIsTheCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{always: refused}
		n, lines := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := len(h.got); got < 90 || got > 120 {
			t.Errorf("%d requests in three hours, want one in two minutes", got)
		}
		for i, at := range []int{0, 1, 5, 12} { // 2, 4 and 8 seconds, less a tenth at most
			if got := h.pings()[i]; got < at || got > at+3 {
				t.Errorf("try %d after %d s, want about %d", i, got, at)
			}
		}
		n.Clear(notify.Scan, "back")
		n.Raise(fails(notify.Queue))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		h.mu.Lock()
		h.always, h.got = nil, nil
		h.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var told []string
		for _, r := range h.got {
			told = append(told, string(r.Event)+" "+string(r.Condition))
		}
		if want := []string{"recovery scan", "failure queue"}; !slices.Equal(told, want) {
			t.Errorf("the host that is back was told %q, want %q", told, want)
		}
		log := lines.String()
		if strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 || !strings.Contains(log, "delivered again") {
			t.Errorf("the log says, want one line when it begins to fail and one when it works again:\n%s", log)
		}
	})
}

// A request that was not answered may have been taken: then the end is told, too.
func TestAFailureThatMayHaveArrivedIsFollowedByItsRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []func(*http.Request) (int, error){silent}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Second)
		n.Clear(notify.Scan, "back")
		n.Raise(fails(notify.Scan))
		n.Clear(notify.Scan, "back")
		time.Sleep(time.Minute)
		wants(t, h, "failure scan 0", "recovery scan 12")
	})
}

// A failure that is on its way when it ends is not overtaken.
func TestARecoveryWaitsForItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(*http.Request) (int, error) {
			time.Sleep(5 * time.Second)
			return 200, nil
		}
		h := &host{answers: []func(*http.Request) (int, error){slow}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Second)
		n.Clear(notify.Scan, "back")
		time.Sleep(time.Minute)
		wants(t, h, "failure scan 0", "recovery scan 5")
		if h.at != 1 {
			t.Errorf("%d requests at once", h.at)
		}
	})
}

func TestWhatIsOnItsWayIsNotToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(*http.Request) (int, error) {
			time.Sleep(5 * time.Second)
			return 200, nil
		}
		h := &host{answers: []func(*http.Request) (int, error){slow}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Second)
		n.Clear(notify.Scan, "back")
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Minute)
		wants(t, h, "failure scan 0")
	})
}

func TestAPauseIsShortAgainAfterADelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []func(*http.Request) (int, error){refused, refused, refused, refused, status(200), refused}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Minute)
		n.Clear(notify.Scan, "back")
		time.Sleep(time.Minute)
		if at := h.pings(); len(at) != 7 || at[6] > 62 {
			t.Errorf("tried at %v s, want the second message again within two seconds", at)
		}
	})
}

func TestABeatThatWaitsIsSentAtTheEnd(t *testing.T) {
	for range 20 { // whatever the scheduler sees first
		synctest.Test(t, func(t *testing.T) {
			slow := func(*http.Request) (int, error) {
				time.Sleep(time.Second)
				return 200, nil
			}
			h := &host{answers: []func(*http.Request) (int, error){slow}}
			n, _ := begin(t, h)
			n.Beat()
			synctest.Wait()
			n.Beat()
			n.Close()
			if at := h.pings(); !slices.Equal(at, []int{0, 1}) {
				t.Errorf("pinged at %v s, want the one that waited, too", at)
			}
		})
	}
}

func TestTheHostsPauseIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []func(*http.Request) (int, error){status(429)}, header: http.Header{"Retry-After": {"40"}}}
		n, _ := begin(t, h)
		defer n.Close()
		n.Raise(fails(notify.Scan))
		time.Sleep(time.Minute)
		wants(t, h, "failure scan 0", "failure scan 40")
	})
}

func TestABeatIsTriedThreeTimesAndTheNextOneAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{answers: []func(*http.Request) (int, error){status(503), refused, status(404), refused}}
		n, lines := begin(t, h)
		defer n.Close()
		n.Beat()
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := h.pings(); !slices.Equal(got, []int{0, 2, 6}) {
			t.Errorf("tried at %v s, want three times", got)
		}
		if log := lines.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "ping.example.com answers 404 Not Found") {
			t.Errorf("the log says %s", log)
		}
		time.Sleep(53 * time.Second)
		n.Beat()
		time.Sleep(time.Minute)
		if got := h.pings(); !slices.Equal(got, []int{0, 2, 6, 60, 62}) || h.got[4].method != http.MethodGet {
			t.Errorf("tried at %v s, want a beat of its own at the second minute", got)
		}
		if log := lines.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 {
			t.Errorf("the log says, want one warning and one end of it:\n%s", log)
		}
	})
}

func TestBeatsNeverWaitAndNeverPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{always: func(*http.Request) (int, error) {
			time.Sleep(5 * time.Second)
			return 200, nil
		}}
		n, _ := begin(t, h)
		defer n.Close()
		for range 100 {
			n.Beat()
			synctest.Wait()
		}
		if !time.Now().Equal(epoch) {
			t.Error("a beat waited")
		}
		time.Sleep(time.Minute)
		if got := h.pings(); !slices.Equal(got, []int{0, 5}) || h.at != 1 {
			t.Errorf("pinged at %v s, %d at once, want the first and one for all others", got, h.at)
		}
	})
}

func TestCloseSendsWhatIsDueAndTakesTwoSecondsAtMost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		always func(*http.Request) (int, error)
		took   time.Duration
	}{
		{"a host that answers", nil, 0},
		{"a host that does not", silent, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &host{}
			n, lines := begin(t, h)
			held := fails(notify.Source)
			held.After = time.Minute
			n.Raise(held)
			time.Sleep(90 * time.Second)
			n.Clear(notify.Source, "back") // its time to be told comes after the end
			held.Condition = notify.Queue
			n.Raise(held) // nobody knows whether it lasts
			synctest.Wait()
			h.mu.Lock()
			h.got, h.always = nil, tt.always
			h.mu.Unlock()
			closing := time.Now()
			n.Beat()
			n.Close()
			if took := time.Since(closing); took != tt.took {
				t.Errorf("%s: Close took %v, want %v", tt.name, took, tt.took)
			}
			var told []string
			for _, r := range h.got {
				if r.method == http.MethodPost {
					told = append(told, string(r.Event)+" "+string(r.Condition))
				}
			}
			if !slices.Equal(told, []string{"recovery source"}) || len(h.got) != 2 {
				t.Errorf("%s: at the end there were %d requests, the webhook was told %q; want a ping and the recovery", tt.name, len(h.got), told)
			}
			if lost := strings.Contains(lines.String(), "before the end"); lost != (tt.always != nil) {
				t.Errorf("%s: the log says %s", tt.name, lines)
			}
			n.Beat() // no panic
			n.Raise(fails(notify.Scan))
			n.Close()
		})
	}
}

// byHost is several hosts.
type byHost map[string]*host

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) { return b[r.URL.Host].RoundTrip(r) }
