package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A pager is somebody who is told: a heartbeat monitor and a webhook whose
// addresses are secrets.
type pager struct {
	*httptest.Server
	mu       sync.Mutex
	pings    int
	messages []notify.Message
	busy     chan struct{} // nil, or the webhook answers when it is closed
}

const pagerSecret = "canary-of-the-pager"

// pager starts one and lets later commands tell it.
func (w *world) pager(t *testing.T) *pager {
	t.Helper()
	p := &pager{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping/"+pagerSecret, func(http.ResponseWriter, *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pings++
	})
	mux.HandleFunc("POST /hook/"+pagerSecret, p.hook)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	w.set("FOCUS_ALERTS_HEARTBEAT_URL", p.URL+"/ping/"+pagerSecret)
	w.set("FOCUS_ALERTS_WEBHOOK_URL", p.URL+"/hook/"+pagerSecret)
	w.set("FOCUS_ALERTS_WEBHOOK_AFTER", "0")
	return p
}

func (p *pager) hook(w http.ResponseWriter, r *http.Request) {
	var m notify.Message
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.messages = append(p.messages, m)
	p.mu.Unlock()
	if p.busy != nil {
		<-p.busy
	}
}

// told is event and condition of each message so far, and the pings.
func (p *pager) told() (told []string, pings int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		told = append(told, string(m.Event)+" "+string(m.Condition))
	}
	return told, p.pings
}

func (p *pager) eventually(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, "the webhook is told: "+strings.Join(want, ", "), func() bool {
		told, _ := p.told()
		return len(told) >= len(want)
	})
	if told, _ := p.told(); !slices.Equal(told, want) {
		t.Errorf("the webhook was told %q, want %q", told, want)
	}
}

func (p *pager) last() notify.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages[len(p.messages)-1]
}

// keepsSecret fails the test where a command printed a part of an address.
func (r result) keepsSecret(t *testing.T) {
	t.Helper()
	if strings.Contains(r.stdout+r.stderr, pagerSecret) {
		t.Errorf("the address of the pager was printed:\n%s%s", r.stdout, r.stderr)
	}
}

func TestSomebodyIsToldOnceWhenTheSourceFailsAndOnceWhenItIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_LOGGING_LEVEL=DEBUG")
	p := w.pager(t)
	for _, name := range []string{"a.csv.gz", "b.csv.gz", "c.csv.gz", "d.csv.gz"} {
		w.add(object(1, name, 1000))
	}
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Status(500, "InternalServerError")})
	agent, web := w.listen(t, "run")
	p.eventually(t, "failure source")
	m := p.last()
	if m.Class != "unavailable" || m.Route != "main" || !strings.HasPrefix(m.Instance, "run/") || m.Remedy == "" || m.Since.IsZero() ||
		!strings.Contains(m.Text, "InternalServerError") || !strings.Contains(m.Text, m.Remedy) {
		t.Errorf("the webhook was told %+v", m)
	}
	w.OCIFaults.Clear()
	p.eventually(t, "failure source", "recovery source")
	eventually(t, "all four are copied", func() bool { return len(w.S3.Objects()) == 4 })
	web.wants(map[string]float64{
		`focus_scans_total{result="ok"}`:                              1,
		`focus_notifications_total{kind="heartbeat",result="ok"}`:     1,
		`focus_notifications_total{kind="heartbeat",result="failed"}`: 0,
		`focus_notifications_total{kind="webhook",result="ok"}`:       2,
		`focus_notifications_total{kind="webhook",result="failed"}`:   0,
	})
	agent.stop().want(t, 0).keepsSecret(t)
	if told, pings := p.told(); len(told) != 2 || pings != 1 {
		t.Errorf("in all the webhook was told %q, and the heartbeat pinged %d times for one scan", told, pings)
	}
	w.check(t)
}

func TestNoHeartbeatComesOfAScanThatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	w.add(object(1, "a.csv.gz", 1000))
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Status(401, "NotAuthenticated")})
	agent := w.start(t, "run")
	p.eventually(t, "failure scan") // at once, since nothing but an operator ends it
	if m := p.last(); m.Class != "unauthenticated" || !strings.Contains(m.Text, "NotAuthenticated") || m.Remedy == "" {
		t.Errorf("the webhook was told %+v", m)
	}
	if _, pings := p.told(); pings != 0 {
		t.Errorf("%d pings before any scan was complete", pings)
	}
	w.OCIFaults.Clear()
	p.eventually(t, "failure scan", "recovery scan") // with the next scan
	eventually(t, "the heartbeat is pinged", func() bool { _, pings := p.told(); return pings == 1 })
	agent.stop().want(t, 0).keepsSecret(t)
}

func TestRolesTellWhatIsTheirs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	for _, name := range []string{"a.csv.gz", "b.csv.gz", "c.csv.gz"} {
		w.add(object(1, name, 1000))
	}
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(403, "AccessDenied")})
	copier := w.start(t, "copier")
	scanner := w.start(t, "scanner")
	p.eventually(t, "failure destination")
	if m := p.last(); m.Class != "forbidden" || !strings.HasPrefix(m.Instance, "copier/") {
		t.Errorf("the webhook was told %+v", m)
	}
	w.S3Faults.Clear()
	p.eventually(t, "failure destination", "recovery destination")
	server.Stop()
	p.eventually(t, "failure destination", "recovery destination", "failure queue")
	if m := p.last(); m.Class != "queue" || !strings.HasPrefix(m.Instance, "scanner/") {
		t.Errorf("the webhook was told %+v", m)
	}
	server.Restart(t)
	p.eventually(t, "failure destination", "recovery destination", "failure queue", "recovery queue")
	if _, pings := p.told(); pings != 1 {
		t.Errorf("%d pings for one scan", pings)
	}
	scanner.stop().want(t, 0).keepsSecret(t)
	copier.stop().want(t, 0).keepsSecret(t)
}

func TestFilesThatWereGivenUpAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	bad := object(1, "bad.csv.gz", 1000)
	w.add(bad, object(1, "good.csv.gz", 1000))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "bad", Do: simulator.FlipBit(10)})
	w.sync(t, 1)
	if told, pings := p.told(); len(told)+pings > 0 {
		t.Errorf("a sync told %q and pinged %d times: it has an exit code", told, pings)
	}
	agent := w.start(t, "run")
	p.eventually(t, "failure dead_letters")
	if m := p.last(); m.Class != "hash-mismatch" || !strings.Contains(m.Text, "bad.csv.gz") || !strings.Contains(m.Remedy, "failed list") {
		t.Errorf("the webhook was told %+v", m)
	}
	agent.stop().want(t, 0)
}

func TestAPagerThatHangsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	p.busy = make(chan struct{})
	t.Cleanup(func() { close(p.busy) }) // before the server closes
	for _, name := range []string{"a.csv.gz", "b.csv.gz", "c.csv.gz"} {
		w.add(object(1, name, 1000))
	}
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 3, Do: simulator.Status(403, "AccessDenied")})
	agent := w.start(t, "run")
	p.eventually(t, "failure destination")
	eventually(t, "the files are copied meanwhile", func() bool { return len(w.S3.Objects()) == 3 })
	begun := time.Now()
	r := agent.stop().want(t, 0)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the end took %v, want two seconds and little more", took)
	}
	if !strings.Contains(r.stderr, "the webhook could not be told everything before the end") {
		t.Error("the log does not say that the recovery was not delivered")
	}
	r.keepsSecret(t)
}

func TestAlertsTestSaysWhatWasAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	if r := w.run(t, "alerts", "test").want(t, 2); !strings.Contains(r.stderr, "FOCUS_ALERTS_WEBHOOK_URL_FILE") {
		t.Errorf("without an address it says %q", r.stderr)
	}
	p := w.pager(t)
	r := w.run(t, "alerts", "test").want(t, 0)
	if !strings.Contains(r.stdout, "ok    webhook        "+p.Listener.Addr().String()+" answered 200") || !strings.Contains(r.stdout, "not pinged by a test") {
		t.Errorf("it says %q", r.stdout)
	}
	if told, pings := p.told(); !slices.Equal(told, []string{"test test"}) || pings != 0 {
		t.Errorf("the webhook was told %q, the heartbeat pinged %d times", told, pings)
	}
	r.keepsSecret(t)
	w.set("FOCUS_ALERTS_WEBHOOK_URL", p.URL+"/elsewhere/"+pagerSecret)
	r = w.run(t, "alerts", "test").want(t, 1)
	if !strings.Contains(r.stdout, "FAIL  webhook") || !strings.Contains(r.stdout, "answers 404 Not Found") {
		t.Errorf("of an address that is none it says %q", r.stdout)
	}
	r.keepsSecret(t)
}

// One channel that does not take a message keeps it from no other, and is named.
func TestAlertsTestTriesEveryChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	w.set("FOCUS_ALERTS_SLACK_URL", p.URL+"/elsewhere/"+pagerSecret)
	w.set("FOCUS_ALERTS_TEAMS_URL", p.URL+"/ping/"+pagerSecret) // takes no POST
	for name, value := range map[string]string{"HOST": "127.0.0.1", "PORT": "1", "TLS": "none", "USERNAME": "focus", "PASSWORD": pagerSecret, "FROM": "a@example.com", "TO": "b@example.com,c@example.com"} {
		w.set("FOCUS_ALERTS_EMAIL_"+name, value)
	}
	w.set("FOCUS_ALERTS_DIGEST_AT", "07:00")
	r := w.run(t, "alerts", "test").want(t, 1)
	for _, want := range []string{"ok    webhook ", "FAIL  slack ", "FAIL  teams ", "405 Method Not Allowed", "FAIL  email          127.0.0.1:1: "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("it lacks %q:\n%s", want, r.stdout)
		}
	}
	r.keepsSecret(t)
	var tried []struct{ Channel, Error string }
	r = w.run(t, "alerts", "test", "--json").want(t, 1)
	if err := json.Unmarshal([]byte(r.stdout), &tried); err != nil || len(tried) != 4 || tried[0].Channel != "webhook" || tried[0].Error != "" || tried[3].Error == "" {
		t.Errorf("as JSON it says %+v, %v", tried, err)
	}
	r.keepsSecret(t)
	before, _ := p.told()
	r = w.run(t, "test").want(t, 0)
	if !strings.Contains(r.stdout, "heartbeat, webhook, slack, teams, email (127.0.0.1:1, 2 recipients); a digest at 07:00 UTC; `alerts test` sends a message") {
		t.Errorf("test says\n%s", r.stdout)
	}
	r.keepsSecret(t)
	if after, _ := p.told(); len(after) != len(before) {
		t.Errorf("test told %q", after)
	}
}

// The digest that is due is told once, whatever restarts; and none of a time in which
// nobody waited for one.
func TestTheDigestOfADayIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	w.set("FOCUS_ALERTS_DIGEST_AT", "00:00") // the one of today is due at any time
	w.add(object(3, "a.csv.gz", 1000), object(3, "bad.csv.gz", 1000))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "bad", Do: simulator.FlipBit(10)})
	w.sync(t, 1)
	run := func(scans, digests int) {
		t.Helper()
		agent := w.start(t, "run")
		eventually(t, "a scan is complete", func() bool { _, pings := p.told(); return pings >= scans })
		eventually(t, "the digest is told", func() bool { return len(p.digests()) >= digests })
		agent.stop().want(t, 0).keepsSecret(t)
		if got := p.digests(); len(got) != digests {
			t.Errorf("%d digests after %d runs, want %d", len(got), scans, digests)
		}
	}
	run(1, 0)
	conn, done := w.queue(t)
	theDayBefore(t, conn)
	done()
	run(2, 1)
	run(3, 1)
	m := p.digests()[0]
	if text := strings.Join(m.Details, "\n"); !strings.Contains(text, "not delivered: 1 given up, 0 waiting") || !strings.Contains(text, " is partial: 1 file of 2 failed") || !strings.Contains(m.Text, "something is to be looked at") {
		t.Errorf("the digest is %+v", m)
	}
}

func (p *pager) digests() (all []notify.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		if m.Event == notify.Digested {
			all = append(all, m)
		}
	}
	return all
}

// Of two scanners one tells it.
func TestTheDigestOfADayIsToldByOneScanner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	p := w.pager(t)
	w.set("FOCUS_ALERTS_DIGEST_AT", "00:00")
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	conn, err := nats.Connect(t.Context(), nats.Options{Name: "test", URLs: []string{server.Running().ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	theDayBefore(t, conn)
	conn.Close()
	one, other := w.start(t, "scanner"), w.start(t, "scanner")
	eventually(t, "both have scanned, and one told", func() bool { _, pings := p.told(); return pings == 2 && len(p.digests()) > 0 })
	one.stop().want(t, 0)
	other.stop().want(t, 0)
	if n := len(p.digests()); n != 1 {
		t.Errorf("the digest was told %d times", n)
	}
}

// theDayBefore says that the digest before that of yesterday was told last.
func theDayBefore(t *testing.T, conn *nats.Conn) {
	t.Helper()
	n := messages.DigestNote{Until: time.Now().UTC().AddDate(0, 0, -2)}
	ledger := ledgerOf(t, conn)
	_, revision, err := ledger.Read(t.Context(), messages.DigestKey("main"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := n.Encode()
	if err == nil {
		_, err = ledger.Write(t.Context(), messages.DigestKey("main"), raw, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
}
