package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A witness stands between the program and a server, and writes down what is asked.
type witness struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*url.URL
}

func newWitness(t *testing.T, of string) *witness {
	t.Helper()
	target, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	w, proxy := &witness{}, httputil.NewSingleHostReverseProxy(target) // which keeps the Host, so that signatures stay good
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.URL)
		w.mu.Unlock()
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// astray are the requests whose path, as it came, is not of the given form.
func (w *witness) astray(inside func(u *url.URL) bool) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.asked {
		segments := strings.Split(u.Path, "/")
		if slices.Contains(segments, "..") || slices.Contains(segments, ".") || strings.Contains(strings.ToLower(u.EscapedPath()), "%2e") || !inside(u) {
			all = append(all, u.String())
		}
	}
	return all
}

// A forger makes hostile messages: from pieces of names that mean more than they say, from
// true messages with something exchanged, and from bytes that are no message.
type forger struct{ *rand.Rand }

func (f forger) pick(of ...string) string { return of[f.IntN(len(of))] }

func (f forger) name(n int) string {
	base := fmt.Sprint(n, f.pick("", "", "", "", "..", "%2e%2e", "%00", "\x00", "\n", "\u202e", "\xff", " ", "?prefix=", "#", ";", "\\", "%", "+", "é", "\r\nHost: x", strings.Repeat("n", f.IntN(1200))),
		f.pick(".csv.gz", ".csv.gz", ".csv.gz", ".csv", ".csv.gz/", ".csv.gz/..", ".csv.gz\x00.csv.gz"))
	prefix := f.pick(simulator.Prefix, simulator.Prefix, simulator.Prefix, "", "/", "//", "private/", "FOCUS Reports", "FOCUS%20Reports/", "focus reports/", "../", simulator.Prefix+"../private/",
		"https://127.0.0.1:1/", "/n/other/b/other/o/", "../../../b/other/o/", "..\\", "%2e%2e/%2e%2e/", "s3://other/")
	day := f.pick("2026/03/01/", "2026/03/01/", "2026/03/01/", "2026/02/30/", "2026/3/1/", "", "../../../", "2026/03/01/../../../../", "2026/03/01//", "2026/03/01/./", "2026/03/01/%2e%2e/", "9999/12/31/", "0000/00/00/")
	return prefix + day + base
}

func (f forger) message(n int) (subject string, body []byte) {
	name := f.name(n)
	o := messages.Object{Name: name, ETag: f.pick("", "e", "*", "\r\nX: y", "\"'"), Size: f.Int64N(1 << f.IntN(62)), MD5: f.pick("", "x"), CRC32C: f.pick("", "x")}
	m := messages.FileDiscovered{Route: f.pick("main", "main", "main", "main", "other"), Object: o, Generation: f.IntN(3), Discovered: time.Unix(f.Int64N(1<<33), 0), Trace: f.pick("", "\n\x1b[2J")}
	body, err := m.Encode()
	if err != nil {
		panic(err) // unreachable: all of it is small
	}
	told := name // what the subject says
	switch f.IntN(8) {
	case 0: // another name than in the subject
		told = nameOf(1, fmt.Sprint("told", n, ".csv.gz"))
	case 1: // what no message has
		body = append(body[:len(body)-1], `,"bucket":"other","key":"../../other","endpoint":"http://127.0.0.1:1","namespace":"other","url":"http://127.0.0.1:1/"}`...)
	case 2: // a field twice
		body = append(body[:len(body)-1], fmt.Sprintf(`,"object":{"name":%q,"size":1}}`, "private/secret.csv.gz")...)
	case 3: // bytes exchanged
		for range 1 + f.IntN(4) {
			body[f.IntN(len(body))] = byte(f.UintN(256))
		}
	case 4: // cut off
		body = body[:f.IntN(len(body))]
	case 5: // no message at all
		body = []byte(f.pick("", "null", "[]", "{}", "\xff", `{"schema":-1}`, `{"schema":1e9999}`, strings.Repeat("[", 1+f.IntN(30000))))
	}
	subject = messages.Subject("focus", messages.Live, "main", told)
	if f.IntN(20) == 0 {
		subject = fmt.Sprint("focus.files.live.main.=ZZ", n, f.pick("", "=", "=2f", "-%2e"))
	}
	return subject, body
}

// hostile is the next message that some day must end. Those of a newer program or of a
// newer destination wait for it, by design, and are not made.
func (f forger) hostile(n int) (subject string, body []byte) {
	for {
		subject, body = f.message(n)
		var m struct{ Schema, Epoch int }
		if json.Unmarshal(body, &m) == nil && (m.Schema > messages.Schema || m.Epoch > 0) || len(subject) > 3500 {
			continue
		}
		return subject, body
	}
}

// A drawer is a queue and a ledger in memory, from which every message goes for good
// once it is settled but by Nak.
type drawer struct {
	mu      sync.Mutex
	waiting []*copier.Delivery
	left    int // not gone
	empty   context.CancelFunc
	acts    map[copier.Act]int
	buried  int
	kept    map[string][]byte
}

func (d *drawer) put(subject string, body []byte) {
	l := &copier.Delivery{Subject: subject, Data: body, Renew: func(context.Context) error { return nil }}
	l.Settle = func(_ context.Context, v copier.Verdict) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.acts[v.Act]++; v.Act == copier.Nak {
			d.waiting = append(d.waiting, l)
		} else if d.left--; d.left == 0 {
			d.empty()
		}
		return nil
	}
	d.waiting, d.left = append(d.waiting, l), d.left+1
}

func (d *drawer) Next(ctx context.Context, _ bool) (*copier.Delivery, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil, ctx.Err()
	}
	l := d.waiting[0]
	d.waiting = d.waiting[1:]
	l.Deliveries++
	return l, nil
}

func (d *drawer) Read(_ context.Context, key string) ([]byte, uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.kept[key]; ok {
		return v, 1, nil
	}
	return nil, 0, nil
}

func (d *drawer) Write(_ context.Context, key string, value []byte, _ uint64) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kept[key] = value; value == nil {
		delete(d.kept, key)
	}
	return 1, nil
}

func (d *drawer) Bury(context.Context, messages.DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.buried++
	return nil
}

// oneByOne holds that what went astray is nothing: on the way to OCI anything but reading
// below the prefix, on the way to S3 anything but the path.
func (w *world) oneByOne(t *testing.T, oci, s3 *witness) {
	t.Helper()
	objects := "/n/" + w.Namespace + "/b/" + w.OCIBucket + "/o"
	if astray := oci.astray(func(u *url.URL) bool {
		return u.Path == objects && strings.HasPrefix(u.Query().Get("prefix"), simulator.Prefix) || strings.HasPrefix(u.Path, objects+"/"+simulator.Prefix)
	}); len(astray) > 0 {
		t.Errorf("%d requests at OCI went astray: %.2000q", len(astray), astray)
	}
	if astray := s3.astray(func(u *url.URL) bool {
		return strings.TrimSuffix(u.Path, "/") == "/"+w.S3Bucket && u.Query().Get("prefix") == w.prefix() || strings.HasPrefix(u.Path, "/"+w.S3Bucket+"/"+w.prefix())
	}); len(astray) > 0 {
		t.Errorf("%d requests at S3 went astray: %.2000q", len(astray), astray)
	}
	if len(oci.asked) == 0 {
		t.Error("no message was taken for a hint: the forger is too clumsy to prove anything")
	}
}

const floodSeed = 20261126

// Ten thousand forged messages, the same in each run: whatever they say, no request of the
// copier and its adapters leaves the configured prefix, bucket and path, nothing becomes
// visible, and every message ends. The queue is one in memory, and all else is real.
func TestTenThousandHostileMessagesCauseNoRequestOutsideOfThePaths(t *testing.T) {
	t.Parallel()
	const count = 10_000
	w := newWorld(t, simulator.Options{})
	w.add(simulator.Object{Name: "private/secret.csv.gz", Content: simulator.Random(1, 500)})
	toOCI, toS3 := newWitness(t, w.OCIURL), newWitness(t, w.S3URL)
	source, err := oci.Open(oci.Options{ConfigFile: w.env["FOCUS_OCI_CONFIG_FILE"], Namespace: w.Namespace, Bucket: w.OCIBucket, Prefix: simulator.Prefix, Endpoint: toOCI.URL, Connections: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	dest, err := s3.Open(t.Context(), s3.Options{
		Bucket: w.S3Bucket, Prefix: w.prefix(), Region: w.S3Region, Endpoint: toS3.URL, PathStyle: true, AccessKeyID: w.AccessKeyID, SecretAccessKey: w.SecretAccessKey, Connections: 8,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dest.Close)
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start, d, f := time.Now(), &drawer{empty: cancel, acts: map[copier.Act]int{}, kept: map[string][]byte{}}, forger{rand.New(rand.NewPCG(floodSeed, 0))}
	for n := range count {
		d.put(f.hostile(n))
	}
	(&copier.Copier{
		Queue: d, Ledger: d, Dead: d, Source: source, Objects: dest, Uploads: dest, Parts: dest, Gate: &copier.Gate{Probe: time.Second}, Budget: copier.NewBudget(2, 8<<20),
		Route: "main", Rules: messages.Rules{Prefix: simulator.Prefix, MaxSize: 5 << 30, KeyPrefix: w.prefix(), Naming: naming}, Worker: "one", Slots: 8,
		AckWait: time.Minute, Chunk: 8 << 20, Retry: copier.Retry{Initial: time.Second, Max: time.Second, Multiplier: 2}, DeadAfter: time.Hour, Grace: time.Second, Log: slog.New(slog.DiscardHandler),
	}).Run(ctx)
	t.Logf("%d messages in %v: acts %v, %d buried; %d requests at OCI, %d at S3", count, time.Since(start).Round(time.Millisecond), d.acts, d.buried, len(toOCI.asked), len(toS3.asked))
	if d.left > 0 || d.acts[copier.Nak] > 0 || d.buried < count*9/10 {
		t.Errorf("%d messages are left, acts %v, %d buried, want each to end at once, and most as dead letters", d.left, d.acts, d.buried)
	}
	w.oneByOne(t, toOCI, toS3)
	w.check(t)
}

// The same over NATS, with the program itself.
func TestAThousandHostileMessagesOverNATSAllEnd(t *testing.T) {
	t.Parallel()
	const count = 1000
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=16", "FOCUS_LOGGING_LEVEL=CRITICAL")
	conn := w.external(t).Connect(t)
	w.run(t, "setup").want(t, 0)
	toOCI, toS3 := newWitness(t, w.OCIURL), newWitness(t, w.S3URL)
	w.set("FOCUS_OCI_ENDPOINT", toOCI.URL)
	w.set("FOCUS_S3_ENDPOINT", toS3.URL)
	f := forger{rand.New(rand.NewPCG(floodSeed, 0))}
	for n := range count {
		subject, body := f.hostile(n)
		if reply, err := conn.NATS().Request(subject, body, 30*time.Second); err != nil || strings.Contains(string(reply.Data), `"error"`) {
			t.Fatalf("publish on %q: %v", subject, err)
		}
	}
	agent := w.start(t, "copier")
	assets := messages.Define("focus", "main", 1, 5*time.Minute)
	var s nats.Status
	eventually(t, "every message has ended", func() (ok bool) {
		var err error
		s, err = conn.Status(t.Context(), assets)
		return err == nil && s.Live.Waiting+uint64(s.Live.InFlight) == 0
	})
	agent.stop().want(t, 0)
	if s.Dead < count*9/10 {
		t.Errorf("%d dead letters of %d messages", s.Dead, count)
	}
	w.oneByOne(t, toOCI, toS3)
	w.check(t)
}
