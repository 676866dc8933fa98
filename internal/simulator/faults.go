package simulator

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Rule says which requests get a fault. All conditions must hold; the zero
// value of each means any.
type Rule struct {
	Op    string                     // operation, such as GetObject or UploadPart
	Name  string                     // part of the object's name or key
	Match func(r *http.Request) bool // any further condition; must not read the body
	After int                        // let this many matching requests pass first
	Times int                        // then serve the fault so often; 0 means for ever
	Every float64                    // probability per matching request; 0 means always
	Do    Fault
}

// Faults is the set of rules of one server. Several rules may hit one request:
// they act in the order they were added, so that latency and a reset combine.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
	rng   *rand.Rand
	count map[string]int
}

// rule is a Rule in use.
type rule struct {
	Rule
	matched  int
	used     int
	released chan struct{} // closed when the rule is removed: stalls end
}

// NewFaults returns an empty set. The seed decides what Every hits.
func NewFaults(seed uint64) *Faults {
	return &Faults{rng: rand.New(rand.NewPCG(seed, 2)), count: map[string]int{}}
}

// Add puts a rule in force. Removing it also releases the requests that it
// holds up.
func (f *Faults) Add(r Rule) (remove func()) {
	added := &rule{Rule: r, released: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, added)
	return func() { f.remove(added) }
}

func (f *Faults) remove(r *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.rules, r); i >= 0 {
		f.rules = slices.Delete(f.rules, i, i+1)
		close(r.released)
	}
}

// Clear removes all rules.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		close(r.released)
	}
	f.rules = nil
}

// Count is how many faults were served, by kind. A fault that was armed for a
// point in the body which the request never reached is not counted.
func (f *Faults) Count() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]int, len(f.count))
	maps.Copy(counts, f.count)
	return counts
}

// call is what a server knows about a request before it handles it.
type call struct {
	op   string
	name string
	fail func(w http.ResponseWriter, r *http.Request, status int, code, message string)
}

// serve handles a request under the rules that hit it.
func (f *Faults) serve(c call, w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	hit := f.take(c, r)
	for _, h := range slices.Backward(hit) {
		handle = f.arm(c, h, handle)
	}
	handle(w, r)
}

// take picks the rules that hit a request and uses them up.
func (f *Faults) take(c call, r *http.Request) []*rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit []*rule
	for _, rule := range f.rules {
		if rule.matches(c, r) && f.due(rule) {
			hit = append(hit, rule)
		}
	}
	return hit
}

func (r *rule) matches(c call, req *http.Request) bool {
	return (r.Op == "" || r.Op == c.op) && strings.Contains(c.name, r.Name) && (r.Match == nil || r.Match(req))
}

func (f *Faults) due(r *rule) bool {
	r.matched++
	if r.matched <= r.After || r.Times > 0 && r.used >= r.Times {
		return false
	}
	if r.Every > 0 && f.rng.Float64() >= r.Every {
		return false
	}
	r.used++
	return true
}

func (f *Faults) arm(c call, r *rule, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		x := &exchange{w: w, r: req, call: c, released: r.released, served: func() { f.served(r.Do.kind) }}
		r.Do.run(x, next)
	}
}

func (f *Faults) served(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[kind]++
}
