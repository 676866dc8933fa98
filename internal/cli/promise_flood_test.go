package cli_test

import (
	"encoding/json"
	"fmt"
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

	"oracle-focus-agent/internal/nats"
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
func (w *witness) astray(inside func(path string) bool) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.asked {
		segments := strings.Split(u.Path, "/")
		if slices.Contains(segments, "..") || slices.Contains(segments, ".") || strings.Contains(strings.ToLower(u.EscapedPath()), "%2e") || !inside(u.Path) {
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

// Ten thousand forged messages, the same in each run: whatever they say, no request leaves
// the configured prefix, bucket and path, nothing becomes visible, and every message ends.
func TestTenThousandHostileMessagesCauseNoRequestOutsideOfThePaths(t *testing.T) {
	t.Parallel()
	const seed, count, senders = 20261126, 10_000, 8
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=16", "FOCUS_LOGGING_LEVEL=CRITICAL")
	conn := w.external(t).Connect(t)
	w.run(t, "setup").want(t, 0)
	oci, s3 := newWitness(t, w.OCIURL), newWitness(t, w.S3URL)
	w.set("FOCUS_OCI_ENDPOINT", oci.URL)
	w.set("FOCUS_S3_ENDPOINT", s3.URL)
	w.add(simulator.Object{Name: "private/secret.csv.gz", Content: simulator.Random(1, 500)})

	start := time.Now()
	type letter struct {
		subject string
		body    []byte
	}
	queue := make(chan letter, senders)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for l := range queue {
				if reply, err := conn.NATS().Request(l.subject, l.body, 30*time.Second); err != nil || strings.Contains(string(reply.Data), `"error"`) {
					t.Errorf("publish on %q: %v", l.subject, err)
				}
			}
		})
	}
	f := forger{rand.New(rand.NewPCG(seed, 0))}
	for n := range count {
		subject, body := f.hostile(n)
		queue <- letter{subject, body}
	}
	close(queue)
	all.Wait()
	sent := time.Now()

	copier := w.start(t, "copier")
	assets := messages.Define("focus", "main", 1, 5*time.Minute)
	var s nats.Status
	eventually(t, "every message has ended", func() (ok bool) {
		var err error
		s, err = conn.Status(t.Context(), assets)
		return err == nil && s.Live.Waiting+uint64(s.Live.InFlight) == 0
	})
	copier.stop().want(t, 0)
	t.Logf("%d messages made and queued in %v, and ended in %v; %d requests at OCI, %d at S3", count, sent.Sub(start).Round(time.Millisecond), time.Since(sent).Round(time.Millisecond), len(oci.asked), len(s3.asked))

	objects := "/n/" + w.Namespace + "/b/" + w.OCIBucket + "/o"
	if astray := oci.astray(func(p string) bool { return p == objects || strings.HasPrefix(p, objects+"/"+simulator.Prefix) }); len(astray) > 0 {
		t.Errorf("%d requests at OCI went astray: %.2000q", len(astray), astray)
	}
	if astray := s3.astray(func(p string) bool { return strings.HasPrefix(p, "/"+w.S3Bucket+"/"+w.prefix()) }); len(astray) > 0 {
		t.Errorf("%d requests at S3 went astray: %.2000q", len(astray), astray)
	}
	if len(oci.asked) == 0 || s.Dead < count*9/10 {
		t.Errorf("%d requests at OCI and %d dead letters: the forger is too clumsy, or too kind, to prove anything", len(oci.asked), s.Dead)
	}
	w.check(t)
}
