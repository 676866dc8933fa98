package oci_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
)

// A variant is another Oracle than the one of the documents.
type variant struct {
	name string
	// sim changes the simulation, proxy what stands before it.
	sim   func(*simulator.Simulation)
	proxy func(http.Handler) http.Handler
	// want is what the variant answers otherwise, by question.
	want map[string]live.Verdict
}

// answers of the source, of which a variant flips some.
func sourceAnswers() map[string]live.Verdict {
	usual := map[string]live.Verdict{}
	for id := range strings.FieldsSeq(`oci.list oci.clock oci.list.etag oci.list.md5 oci.list.times oci.head oci.head.md5
		oci.head.crc32c oci.get oci.get.md5 oci.get.crc32c oci.etag oci.size oci.sums oci.gzip oci.range oci.ifmatch oci.missing
		oci.missing.head oci.tier oci.usage`) {
		usual[id] = live.Yes
	}
	usual["oci.page"], usual["oci.rewritten"], usual["oci.encoding"] = live.Unknown, live.No, live.No
	return usual
}

// tourOf takes the step against a simulation with a proxy before it.
func tourOf(t *testing.T, v variant) live.Result {
	t.Helper()
	w := worldOf(t, simulator.Options{Days: 2, FilesPerDay: 2, Rows: 5, LastDay: time.Now().AddDate(0, 0, -1)})
	if v.sim != nil {
		v.sim(w.Simulation)
	}
	var handler http.Handler = w.OCI
	if v.proxy != nil {
		handler = v.proxy(handler)
	}
	c := at(t, handler.ServeHTTP, func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
	results, err := live.Run(t.Context(), []live.Step{c.LiveStep()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// edited is a proxy that changes the headers of some answers before they go out.
func edited(method, path string, edit func(http.Header)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (method == "" || r.Method == method) && strings.Contains(r.URL.Path, path) {
				w = &editor{ResponseWriter: w, edit: edit}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type editor struct {
	http.ResponseWriter
	edit func(http.Header)
	done bool
}

func (e *editor) WriteHeader(status int) {
	if !e.done {
		e.edit(e.Header())
	}
	e.done = true
	e.ResponseWriter.WriteHeader(status)
}

func (e *editor) Write(p []byte) (int, error) {
	if !e.done {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

func without(header string) func(http.Header) {
	return func(h http.Header) { h.Del(header) }
}

// answered is a proxy that answers some requests by itself.
func answered(when func(*http.Request) bool, status int, code string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !when(r) {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(status)
			if r.Method != http.MethodHead {
				fmt.Fprintf(w, `{"code":%q,"message":"as the test says"}`, code)
			}
		})
	}
}

// listed is a proxy that changes the objects of listings.
func listed(change func(map[string]any)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/o") {
				next.ServeHTTP(w, r)
				return
			}
			kept := keeper{header: http.Header{}}
			next.ServeHTTP(&kept, r)
			var page map[string]any
			if json.Unmarshal(kept.body, &page) == nil {
				for _, o := range page["objects"].([]any) {
					change(o.(map[string]any))
				}
				change(page)
				kept.body, _ = json.Marshal(page)
			}
			w.Write(kept.body)
		})
	}
}

type keeper struct {
	header http.Header
	body   []byte
}

func (k *keeper) Header() http.Header         { return k.header }
func (k *keeper) WriteHeader(int)             {}
func (k *keeper) Write(p []byte) (int, error) { k.body = append(k.body, p...); return len(p), nil }

// each changes every object of the simulation.
func each(change func(*simulator.Object)) func(*simulator.Simulation) {
	return func(sim *simulator.Simulation) {
		for _, o := range sim.Source.Objects() {
			change(&o)
			sim.Source.Remove(o.Name)
			sim.Source.Add(o)
		}
	}
}

func sourceVariants() []variant {
	nothing := func(method string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == method && strings.HasSuffix(r.URL.Path, "oracle-focus-agent-live-test")
		}
	}
	has := func(header string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Header.Get(header) != "" }
	}
	const report = ".csv.gz"
	return []variant{
		{name: "as the documents say"},
		{name: "full page", proxy: listed(func(m map[string]any) {
			if objects, ok := m["objects"].([]any); ok {
				for len(objects) < 1000 {
					objects = append(objects, objects[0])
				}
				m["objects"] = objects
			}
		}), want: map[string]live.Verdict{"oci.page": live.Yes}},
		{name: "short pages", proxy: listed(func(m map[string]any) {
			if m["objects"] != nil {
				m["nextStartWith"] = "z"
			}
		}), want: map[string]live.Verdict{"oci.page": live.No}},
		{name: "clock", proxy: edited("", "", func(h http.Header) { h.Set("Date", time.Now().Add(-10*time.Minute).UTC().Format(http.TimeFormat)) }),
			want: map[string]live.Verdict{"oci.clock": live.No}},
		{name: "no etag in the listing", proxy: listed(func(m map[string]any) { delete(m, "etag") }),
			want: map[string]live.Verdict{"oci.list.etag": live.No, "oci.etag": live.Unknown}},
		{name: "no MD5 in the listing", proxy: listed(func(m map[string]any) { delete(m, "md5") }),
			want: map[string]live.Verdict{"oci.list.md5": live.No}},
		{name: "one time in the listing", proxy: listed(func(m map[string]any) { delete(m, "timeModified") }),
			want: map[string]live.Verdict{"oci.list.times": live.No, "oci.rewritten": live.Unknown}},
		{name: "written anew", sim: each(func(o *simulator.Object) { o.Modified = o.Created.Add(time.Hour) }),
			want: map[string]live.Verdict{"oci.rewritten": live.Yes}},
		{name: "no HEAD", proxy: answered(func(r *http.Request) bool {
			return r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, report)
		}, 403, ""),
			want: map[string]live.Verdict{"oci.head": live.No, "oci.head.md5": live.Unknown, "oci.head.crc32c": live.Unknown, "oci.tier": live.Unknown}},
		{name: "no MD5 in HEAD", proxy: edited("HEAD", report, without("content-md5")), want: map[string]live.Verdict{"oci.head.md5": live.No}},
		{name: "no CRC32C in HEAD", proxy: edited("HEAD", report, without("opc-content-crc32c")), want: map[string]live.Verdict{"oci.head.crc32c": live.No}},
		{name: "no MD5 in GET", proxy: edited("GET", report, without("content-md5")), want: map[string]live.Verdict{"oci.get.md5": live.No}},
		{name: "no CRC32C in GET", proxy: edited("GET", report, without("opc-content-crc32c")), want: map[string]live.Verdict{"oci.get.crc32c": live.No}},
		{name: "multipart objects of Oracle's", sim: each(func(o *simulator.Object) { o.NoMD5 = true }),
			want: map[string]live.Verdict{"oci.list.md5": live.No, "oci.head.md5": live.No, "oci.get.md5": live.No}},
		{name: "old objects of Oracle's", sim: each(func(o *simulator.Object) { o.NoCRC32C = true }),
			want: map[string]live.Verdict{"oci.head.crc32c": live.No, "oci.get.crc32c": live.No}},
		{name: "Content-Encoding", sim: each(func(o *simulator.Object) { o.ContentEncoding = "gzip" }),
			want: map[string]live.Verdict{"oci.encoding": live.Yes}},
		{name: "another etag in GET", proxy: edited("GET", report, func(h http.Header) { h.Set("etag", "weak") }),
			want: map[string]live.Verdict{"oci.etag": live.No}},
		{name: "another size in the listing", proxy: listed(func(m map[string]any) {
			if m["size"] != nil {
				m["size"] = m["size"].(float64) + 1
			}
		}), want: map[string]live.Verdict{"oci.size": live.No}},
		{name: "a checksum that lies", proxy: edited("GET", report, func(h http.Header) { h.Set("opc-content-crc32c", "AAAAAA==") }),
			want: map[string]live.Verdict{"oci.sums": live.No}},
		{name: "no gzip", sim: each(func(o *simulator.Object) { o.Content = simulator.Bytes([]byte("BilledCost\n")) }),
			want: map[string]live.Verdict{"oci.gzip": live.No}},
		{name: "no ranges", proxy: answered(has("Range"), 200, ""), want: map[string]live.Verdict{"oci.range": live.No}},
		{name: "If-Match ignored", proxy: answered(has("If-Match"), 200, ""), want: map[string]live.Verdict{"oci.ifmatch": live.No}},
		{name: "If-Match not answered", proxy: answered(has("If-Match"), 500, ""), want: map[string]live.Verdict{"oci.ifmatch": live.Unknown}},
		{name: "nothing looks like a missing right", proxy: answered(nothing("GET"), 404, "NotAuthorizedOrNotFound"), want: map[string]live.Verdict{"oci.missing": live.No}},
		{name: "HEAD of nothing is forbidden", proxy: answered(nothing("HEAD"), 403, ""), want: map[string]live.Verdict{"oci.missing.head": live.No}},
		{name: "archived", proxy: edited("HEAD", report, func(h http.Header) { h.Set("storage-tier", "Archive") }),
			want: map[string]live.Verdict{"oci.tier": live.No}},
		{name: "no totals", sim: func(sim *simulator.Simulation) { sim.OCI.Usage().Deny(true) }, want: map[string]live.Verdict{"oci.usage": live.No}},
	}
}

// TestEachVariantFlipsItsAnswer: a variant of Oracle changes the answers that it is
// about, and no other.
func TestEachVariantFlipsItsAnswer(t *testing.T) {
	flipped := map[string]bool{}
	for _, v := range sourceVariants() {
		t.Run(v.name, func(t *testing.T) {
			want := sourceAnswers()
			maps.Copy(want, v.want)
			for _, a := range tourOf(t, v).Answers {
				if a.Verdict != want[a.ID] || a.Evidence == "" {
					t.Errorf("%s: %s (%s), want %s", a.ID, a.Verdict, a.Evidence, want[a.ID])
				}
				delete(want, a.ID)
			}
			if len(want) > 0 {
				t.Errorf("no answers to %v", slices.Sorted(maps.Keys(want)))
			}
		})
		for id, verdict := range v.want {
			flipped[id] = flipped[id] || verdict != live.Unknown
		}
	}
	for id := range sourceAnswers() {
		if !flipped[id] && id != "oci.list" && id != "oci.get" {
			t.Errorf("no variant flips %s", id)
		}
	}
}

// TestNothingIsKnownWithoutARight: the questions behind the one that was refused stay
// open, and it says that the agent cannot work.
func TestNothingIsKnownWithoutARight(t *testing.T) {
	for _, c := range []struct {
		path string
		id   string
		open []string
	}{
		{"/o", "oci.list", []string{"oci.get", "oci.head", "oci.page", "oci.missing"}},
		{".csv.gz", "oci.get", []string{"oci.get.crc32c", "oci.sums", "oci.gzip", "oci.range"}},
	} {
		r := tourOf(t, variant{proxy: answered(func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, c.path)
		}, 404, "BucketNotFound")})
		for _, a := range r.Answers {
			if a.ID == c.id && (a.Verdict != live.No || !a.Lacks || !strings.Contains(a.Evidence, "404 BucketNotFound")) {
				t.Errorf("%s: %+v", c.path, a)
			}
			if slices.Contains(c.open, a.ID) && a.Verdict != live.Unknown {
				t.Errorf("%s: %s is %s", c.path, a.ID, a.Verdict)
			}
		}
	}
}

// TestAnUnreachableSourceAnswersNothing, and ends.
func TestAnUnreachableSourceAnswersNothing(t *testing.T) {
	r := tourOf(t, variant{proxy: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}})
	for _, a := range r.Answers {
		if a.Verdict != live.Unknown || a.Lacks {
			t.Errorf("%+v", a)
		}
	}
	if !strings.Contains(r.Answers[0].Evidence, "no answer (connection)") {
		t.Errorf("evidence %q", r.Answers[0].Evidence)
	}
}
