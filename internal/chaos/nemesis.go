package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// A hazard is one kind of fault.
type hazard struct {
	Name        string
	weight      int
	least, most time.Duration
	// begin breaks something and returns what mends it. It counts in the nemesis what
	// was really hit.
	begin func(n *nemesis, f fault) (mend func())
}

// A nemesis breaks things in a world.
type nemesis struct {
	w   *World
	ctx context.Context

	mu   sync.Mutex
	hits map[hit]int
}

// A hit is a fault that met something.
type hit struct {
	kind string
	seed uint64
}

// Hazards are all kinds, with the weights by which they are drawn.
func Hazards() []hazard {
	const ms, s = time.Millisecond, time.Second
	all := []hazard{
		{"kill copier", 8, 0, s, (*nemesis).killCopier},
		{"kill scanner", 4, 0, s, (*nemesis).killScanner},
		{"freeze copier", 8, 500 * ms, 5 * s, (*nemesis).freezeCopier},
		{"freeze scanner", 2, 500 * ms, 4 * s, (*nemesis).freezeScanner},
		{"end copier", 3, 0, s, (*nemesis).endCopier},
		{"kill server", 6, 0, 1500 * ms, (*nemesis).killServer},
		{"freeze server", 2, 300 * ms, 2 * s, (*nemesis).freezeServer},
		{"cut line", 5, 300 * ms, 4 * s, (*nemesis).cutLine},
		{"hold line", 4, 300 * ms, 4 * s, (*nemesis).holdLine},
		{"slow line", 3, s, 4 * s, (*nemesis).slowLine},
	}
	for _, r := range rules() {
		all = append(all, hazard{r.name, r.weight, 500 * ms, 3 * s, r.begin})
	}
	return all
}

// hit counts that a fault did something.
func (n *nemesis) hit(f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hits[hit{f.hazard.Name, f.seed}]++
}

// counts are the faults that did something, by kind.
func (n *nemesis) counts() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	kinds := map[string]int{}
	for h := range n.hits {
		kinds[h.kind]++
	}
	return kinds
}

// carryOut carries out one fault, at its time.
func (n *nemesis) carryOut(begun time.Time, f fault) {
	if !sleepUntil(n.ctx, begun.Add(f.at)) {
		return
	}
	mend := f.hazard.begin(n, f)
	if mend == nil {
		return
	}
	sleepUntil(n.ctx, time.Now().Add(f.lasts))
	mend()
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// target is a process of a role, nil where none runs.
func (n *nemesis) target(f fault, roles ...string) *Process {
	var all []*Process
	for _, role := range roles {
		all = append(all, n.w.running(role)...)
	}
	if len(all) == 0 {
		return nil
	}
	return all[f.seed%uint64(len(all))]
}

func (n *nemesis) killCopier(f fault) func()  { return n.replace(f, "copier", (*Process).Kill) }
func (n *nemesis) killScanner(f fault) func() { return n.replace(f, "scanner", (*Process).Kill) }
func (n *nemesis) endCopier(f fault) func()   { return n.replace(f, "copier", (*Process).Term) }

// replace ends a process, and starts another one in its place.
func (n *nemesis) replace(f fault, role string, end func(*Process)) func() {
	p := n.target(f, role)
	if p == nil {
		return nil
	}
	n.hit(f)
	end(p)
	return func() {
		if n.ctx.Err() == nil {
			if _, err := n.w.Start(role, p.environ...); err != nil {
				n.w.History.note(Event{Kind: Fault, Text: "a process could not be started: " + err.Error()})
			}
		}
	}
}

func (n *nemesis) freezeCopier(f fault) func()  { return n.freeze(f, "copier") }
func (n *nemesis) freezeScanner(f fault) func() { return n.freeze(f, "scanner") }

func (n *nemesis) freeze(f fault, role string) func() {
	p := n.target(f, role)
	if p == nil {
		return nil
	}
	n.hit(f)
	p.Stop()
	return p.Cont
}

func (n *nemesis) killServer(f fault) func() {
	n.hit(f)
	n.w.KillServer()
	return n.startServer
}

func (n *nemesis) startServer() {
	if err := n.w.StartServer(context.WithoutCancel(n.ctx)); err != nil {
		n.w.History.note(Event{Kind: Fault, Text: err.Error()})
	}
}

func (n *nemesis) freezeServer(f fault) func() {
	n.hit(f)
	n.w.freezeServer(true)
	return func() { n.w.freezeServer(false) }
}

func (n *nemesis) cutLine(f fault) func() {
	return n.line(f, "its line to NATS is cut", func(p *proxy) { p.partition() })
}

func (n *nemesis) holdLine(f fault) func() {
	return n.line(f, "its line to NATS is dead, and nobody was told", func(p *proxy) { p.hold() })
}

func (n *nemesis) slowLine(f fault) func() {
	delay := time.Duration(5+f.seed%45) * time.Millisecond
	return n.line(f, fmt.Sprintf("its line to NATS takes %v", delay), func(p *proxy) { p.slow(delay) })
}

func (n *nemesis) line(f fault, text string, spoil func(*proxy)) func() {
	p := n.target(f, "scanner", "copier")
	if p == nil {
		return nil
	}
	n.hit(f)
	n.w.History.note(Event{Kind: Fault, Process: p.Name, Text: text})
	spoil(p.proxy)
	return func() {
		p.proxy.heal()
		n.w.History.note(Event{Kind: Healed, Process: p.Name, Text: "its line to NATS is well"})
	}
}

// A spoiler is a rule of the simulator as a hazard.
type spoiler struct {
	name   string
	weight int
	side   func(*World) *simulator.Faults
	ops    []string // of which one is met; where there are many, perhaps all
	draw   func(rng *rand.Rand) simulator.Fault
	// sums: only objects are met that declare a checksum, since nothing else could tell.
	sums bool
}

func rules() []spoiler {
	oci := func(w *World) *simulator.Faults { return w.Sim.OCIFaults }
	s3 := func(w *World) *simulator.Faults { return w.Sim.S3Faults }
	reads, lists := []string{"GetObject"}, []string{"ListObjects"}
	writes := []string{"PutObject", "UploadPart", "CompleteMultipartUpload"}
	all := []string{"PutObject", "UploadPart", "CompleteMultipartUpload", "CreateMultipartUpload", "AbortMultipartUpload", "HeadObject"}
	bytes := func(rng *rand.Rand) int64 { return rng.Int64N(1 << (1 + rng.IntN(22))) }
	status := func(codes ...any) func(*rand.Rand) simulator.Fault {
		return func(rng *rand.Rand) simulator.Fault {
			i := rng.IntN(len(codes)/2) * 2
			f := simulator.Status(codes[i].(int), codes[i+1].(string))
			if rng.IntN(4) == 0 {
				f = f.Applied()
			}
			return f
		}
	}
	return []spoiler{
		{"oci status", 4, oci, append(reads, lists...), status(500, "InternalServerError", 503, "ServiceUnavailable", 429, "TooManyRequests", 401, "NotAuthenticated", 404, "NotAuthorizedOrNotFound", 403, "NotAllowed"), false},
		{"oci reset", 3, oci, reads, func(rng *rand.Rand) simulator.Fault { return simulator.ResetAfterBytes(1 + bytes(rng)) }, false},
		{"oci truncate", 4, oci, reads, func(rng *rand.Rand) simulator.Fault {
			return simulator.Truncate(bytes(rng), simulator.Ending(rng.IntN(3)))
		}, false},
		{"oci extend", 2, oci, reads, func(rng *rand.Rand) simulator.Fault { return simulator.Extend(1 + bytes(rng)) }, false},
		{"oci flip", 2, oci, reads, func(rng *rand.Rand) simulator.Fault { return simulator.FlipBit(bytes(rng)) }, true},
		{"oci stall", 2, oci, reads, func(rng *rand.Rand) simulator.Fault { return simulator.Stall(bytes(rng), nil) }, false},
		{"oci trickle", 2, oci, reads, func(rng *rand.Rand) simulator.Fault {
			return simulator.Trickle(64<<10, time.Duration(5+rng.IntN(40))*time.Millisecond)
		}, false},
		{"oci latency", 2, oci, append(reads, lists...), func(rng *rand.Rand) simulator.Fault {
			return simulator.Latency(time.Duration(rng.IntN(1500)) * time.Millisecond)
		}, false},
		{"s3 status", 4, s3, all, status(500, "InternalError", 503, "SlowDown", 429, "TooManyRequests", 403, "AccessDenied", 401, "Unauthorized", 400, "RequestTimeout"), false},
		{"s3 reset", 3, s3, all, func(*rand.Rand) simulator.Fault { return simulator.Reset() }, false},
		{"s3 lost", 5, s3, all, func(*rand.Rand) simulator.Fault { return simulator.Lost() }, false},
		{"s3 stall", 2, s3, writes, func(rng *rand.Rand) simulator.Fault { return perhapsApplied(rng, simulator.Stall(0, nil)) }, false},
		{"s3 flip", 2, s3, writes[:2], func(rng *rand.Rand) simulator.Fault { return simulator.FlipBit(bytes(rng)) }, false},
		{"s3 latency", 2, s3, all, func(rng *rand.Rand) simulator.Fault {
			return perhapsApplied(rng, simulator.Latency(time.Duration(rng.IntN(1500))*time.Millisecond))
		}, false},
		{"s3 empty complete", 3, s3, writes[2:], func(rng *rand.Rand) simulator.Fault { return perhapsApplied(rng, simulator.EmptyComplete200()) }, false},
		{"s3 slow complete", 2, s3, writes[2:], func(rng *rand.Rand) simulator.Fault {
			return simulator.SlowComplete(1+rng.IntN(5), time.Duration(rng.IntN(500))*time.Millisecond)
		}, false},
	}
}

// perhapsApplied moves a fault, half of the time, to the point where what was asked for is
// done and only the answer is missing.
func perhapsApplied(rng *rand.Rand, f simulator.Fault) simulator.Fault {
	if rng.IntN(2) == 0 {
		return f.Applied()
	}
	return f
}

// begin puts the rule in force: it meets some of the requests, each by its own draw.
func (s spoiler) begin(n *nemesis, f fault) func() {
	rng := rand.New(rand.NewPCG(f.seed, 9))
	op := s.ops[rng.IntN(len(s.ops))]
	if len(s.ops) > 3 && rng.IntN(2) == 0 {
		op = "" // any
	}
	often := 0.2 + 0.8*rng.Float64()
	do := s.draw(rng)
	isS3 := strings.HasPrefix(s.name, "s3")
	return s.side(n.w).Add(simulator.Rule{Op: op, Do: do, Match: func(r *http.Request) bool {
		if rng.Float64() >= often { // under the lock of the rules
			return false
		}
		name := n.w.nameOf(keyOfRequest(n.w, r))
		if !isS3 {
			name = objectOfRequest(r)
		}
		if s.sums && !n.w.declaresSums(name) {
			return false
		}
		if isS3 && commits(r) {
			n.w.met(keyOfRequest(n.w, r))
		}
		n.hit(f)
		n.w.History.note(Event{Kind: Fault, Object: name, Text: s.name + " meets " + r.Method + " " + op})
		return true
	}})
}

// objectOfRequest is the name of the object in a request to OCI; empty in a listing.
func objectOfRequest(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	_, object, _ := strings.Cut(path, "/o/")
	name, _ := url.PathUnescape(object)
	return name
}

func (w *World) declaresSums(name string) bool {
	r, ok := w.Sim.Source.Report(name)
	return ok && (r.MD5 != "" || r.CRC32C != "")
}
