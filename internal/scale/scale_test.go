package scale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// TestScale queues SCALE_FILES files of SCALE_ROUTES tenancies on three servers, kills the
// leader of the queue while it is full, and takes the files off by SCALE_WORKERS workers,
// whose every step but the copy itself is that of the product; in the middle of it the
// leader is killed again. In the end each file has one record, and the queue is empty. It
// prints what it measures; without variables it is small, and no server dies: what is
// promised of that, the tests of internal/nats show.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers with fsync take seconds; run without -short")
	}
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{T: t, rules: messages.Rules{Prefix: "FOCUS Reports/", KeyPrefix: "focus/", Naming: naming}, cluster: newCluster(t), files: size(t, "SCALE_FILES", 300), workers: size(t, "SCALE_WORKERS", 16)}
	s.conn = s.connect(t, "scale")
	s.addRoutes(size(t, "SCALE_ROUTES", 4))
	s.publishAll()
	if s.kills = os.Getenv("SCALE_FILES") != ""; s.kills {
		s.loseLeader("with a full queue", func(ctx context.Context) error {
			_, err := s.publish(ctx, s.files)
			return err
		})
		s.files++
	}
	s.copyAll()
	s.check()
}

func size(t testing.TB, name string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: it must be a number above 0", name, os.Getenv(name))
	}
	return n
}

type simulation struct {
	*testing.T
	*cluster
	rules          messages.Rules
	conn           *nats.Conn
	files, workers int
	kills          bool // of leaders
	routes         []messages.Assets
	done           atomic.Int64 // files of the phase
	again          atomic.Int64 // calls that failed and were repeated
	mended         atomic.Int64 // files that had to be queued again
}

// ackWait is short, so that what a killed leader forgot comes again while one watches.
const ackWait = 30 * time.Second

func (s *simulation) addRoutes(n int) {
	begun := time.Now()
	before, _, _ := s.usage()
	for i := range n {
		a := messages.Define("focus", fmt.Sprintf("tenancy-%05d", i), 3, ackWait)
		s.persist(func(ctx context.Context) error {
			_, err := nats.Setup(ctx, s.conn, a, nats.Create)
			return err
		})
		s.routes = append(s.routes, a)
	}
	rss, _, _ := s.usage()
	took := time.Since(begun)
	fmt.Printf("%d routes with two consumers each in %v, %v each; a server grew from %d to %d MiB\n",
		n, took.Round(time.Second), (took / time.Duration(n)).Round(time.Millisecond), before>>20, rss>>20)
}

// persist repeats a call until it succeeds, as scanners and copiers do in the end.
func (s *simulation) persist(call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := call(ctx)
		if err == nil {
			return
		}
		s.again.Add(1)
		select {
		case <-ctx.Done():
			s.Errorf("not in two minutes: %v", err)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// publishAll queues the files, of all routes in turn.
func (s *simulation) publishAll() {
	defer s.phase("queued")()
	var all sync.WaitGroup
	for w := range s.workers {
		all.Go(func() {
			for n := w; n < s.files; n += s.workers {
				s.persist(func(ctx context.Context) error {
					_, err := s.publish(ctx, n)
					return err
				})
				s.done.Add(1)
			}
		})
	}
	all.Wait()
}

// publish queues the nth file, unless it waits already.
func (s *simulation) publish(ctx context.Context, n int) (queued bool, err error) {
	return s.conn.Publisher("focus").Publish(ctx, messages.Live, messages.FileDiscovered{
		Route: route(n % len(s.routes)), Object: object(n), Discovered: time.Now(), Scan: "01HZX", Trace: "4BF92F3577B3",
	})
}

func route(i int) string { return fmt.Sprintf("tenancy-%05d", i) }

// object is the nth report: of one of 365 days.
func object(n int) messages.Object {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n%365)
	return messages.Object{
		Name: fmt.Sprintf("FOCUS Reports/%s/%016d-00001.csv.gz", day.Format("2006/01/02"), n), ETag: "c4f9a1d2-6f9e-4a55-9a0e-3a4b1d5c7e11",
		Size: 12345678, MD5: "1B2M2Y8AsgTpgAmY7PhCfg==", Created: day, Modified: day,
	}
}

// loseLeader kills the server that leads the queue and says how long it took until there
// was proof of work; then starts it again, as often as it takes, and says how long it took
// to have all that the others have.
func (s *simulation) loseLeader(when string, proof func(context.Context) error) {
	leader := s.named(s.status().Leader)
	if leader == nil {
		s.Error("the queue has no leader")
		return
	}
	begun := time.Now()
	leader.kill()
	s.persist(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return proof(ctx)
	})
	away := time.Since(begun)
	begun = time.Now()
	leader.start(s)
	restarts, level := 0, s.level(time.Minute)
	for !level && restarts < 5 { // nats-server 2.15.2 has been seen to leave a replica behind for good
		restarts++
		leader.kill()
		leader.start(s)
		level = s.level(time.Minute)
	}
	fmt.Printf("%s, the leader was killed: work went on after %v; started again, it had all after %v and %d more restarts\n",
		when, away.Round(10*time.Millisecond), time.Since(begun).Round(100*time.Millisecond), restarts)
	if !level {
		s.Errorf("a replica lags behind: %v", s.status().Lagging)
	}
}

// level waits until all replicas of the queue have what its leader has.
func (s *simulation) level(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if st := s.status(); st.Leader != "" && len(st.Lagging) == 0 {
			return true
		}
	}
	return false
}

func (s *simulation) status() nats.Status {
	st, err := s.conn.Status(s.Context(), s.routes[0])
	if err != nil {
		s.again.Add(1)
	}
	return st
}

// copyAll takes every file off the queue, a route by one worker at a time or, where there
// are fewer routes than workers, by several, and does with it what a copier does but for
// the copy.
func (s *simulation) copyAll() {
	defer s.phase("recorded")()
	crew := max(1, s.workers/len(s.routes))
	routes := make(chan int, len(s.routes))
	for i := range s.routes {
		routes <- i
	}
	close(routes)
	var all sync.WaitGroup
	for range max(1, s.workers/crew) {
		all.Go(func() {
			for i := range routes {
				s.copyRoute(i, crew)
			}
		})
	}
	half := int64(s.files / 2)
	if s.kills {
		all.Go(func() { s.loseLeaderAt(half) })
	}
	all.Wait()
}

// loseLeaderAt waits until so many files are recorded.
func (s *simulation) loseLeaderAt(half int64) {
	for s.done.Load() < half && !s.Failed() {
		time.Sleep(10 * time.Millisecond)
	}
	s.loseLeader("halfway through", func(context.Context) error {
		if s.done.Load() < half+int64(2*s.workers) {
			return errors.New("no file was recorded")
		}
		return nil
	})
}

// copyRoute ends when each file of the route is recorded and off the queue.
func (s *simulation) copyRoute(i, crew int) {
	r := &files{queue: s.conn.Queue(s.routes[i]), acked: map[string]bool{}, idle: time.Now(), want: (s.files - i + len(s.routes) - 1) / len(s.routes)}
	s.persist(func(ctx context.Context) (err error) {
		r.ledger, err = s.conn.Ledger(ctx, s.routes[i].State, route(i))
		return err
	})
	var all sync.WaitGroup
	for range crew {
		all.Go(func() {
			for r.left() {
				s.take(i, r)
			}
		})
	}
	all.Wait()
}

// files is what its workers know of a route.
type files struct {
	queue  *nats.Queue
	ledger *nats.Ledger
	want   int

	mu    sync.Mutex
	acked map[string]bool // by subject
	idle  time.Time       // since when no file came
}

func (r *files) left() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.acked) < r.want
}

// take asks for one message. Where none comes for long, the route is mended.
func (s *simulation) take(i int, r *files) {
	d, err := r.queue.Next(s.Context(), false)
	if d != nil {
		err = s.record(r.ledger, d)
	}
	if err != nil {
		time.Sleep(100 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case d != nil && err == nil:
		r.acked[d.Subject], r.idle = true, time.Now()
	case err != nil: // it comes again
		s.again.Add(1)
	}
	switch idle := time.Since(r.idle); {
	case idle > 10*ackWait:
		s.Errorf("%s: %d of %d files came, and then none for %v (%v)", route(i), len(r.acked), r.want, idle.Round(time.Second), err)
		r.want = 0
	case idle > 2*ackWait && len(r.acked) < r.want:
		s.mend(i, r.acked)
	}
}

// mend is what copiers and the next scan do about messages that a killed leader has lost
// track of: what stands behind the ack floor is removed, and what has no record is queued.
func (s *simulation) mend(i int, acked map[string]bool) {
	s.persist(func(ctx context.Context) error {
		_, err := s.conn.Unstick(ctx, s.routes[i])
		return err
	})
	for n := i; n < s.files; n += len(s.routes) {
		if !acked[messages.Subject("focus", messages.Live, route(i), object(n).Name)] {
			s.persist(func(ctx context.Context) error {
				queued, err := s.publish(ctx, n)
				if queued {
					s.mended.Add(1)
				}
				return err
			})
		}
	}
}

// record is the way of one file through the ledger, as the copier goes it.
func (s *simulation) record(ledger *nats.Ledger, d *copier.Delivery) error {
	m, err := messages.DecodeDiscovered(d.Data)
	if err != nil {
		return err
	}
	r, err := s.rules.Report(m.Object)
	if err != nil {
		return err
	}
	key := messages.RecordKey(m.Route, r)
	value, revision, err := ledger.Read(s.Context(), key)
	if err != nil {
		return err
	}
	if value == nil {
		value, err = messages.Record{
			Status: messages.StatusCopied, Epoch: 1, Worker: "copier/host/3", Trace: m.Trace, At: time.Now(), Object: m.Object,
			Copy: &messages.FileCopied{Key: r.Key, ETag: `"9b2cf535f27731c974343645a3985328"`, CRC32C: "yZRlqg==", Verified: messages.ByCRC32C, How: messages.HowCopied, At: time.Now(), Seconds: 1.5},
		}.Encode()
		if err != nil {
			return err
		}
		if _, err := ledger.Write(s.Context(), key, value, revision); err != nil {
			return err
		}
		s.done.Add(1)
	}
	return d.Settle(s.Context(), copier.Verdict{Act: copier.Ack})
}

// check asks the cluster: no message, no dead letter, one record for each file.
func (s *simulation) check() {
	var st nats.Status
	s.persist(func(ctx context.Context) (err error) {
		st, err = s.conn.Status(ctx, s.routes[0])
		return err
	})
	if st.Messages != 0 || st.Dead != 0 || st.Records != uint64(s.files) {
		s.Errorf("%d messages, %d dead letters and %d records are left of %d files", st.Messages, st.Dead, st.Records, s.files)
	}
	begun := time.Now()
	ledger, err := s.conn.Ledger(s.Context(), s.routes[0].State, route(0))
	if err != nil {
		s.Fatal(err)
	}
	day, err := ledger.Day(s.Context(), "2026-01-01")
	if err != nil {
		s.Fatal(err)
	}
	fmt.Printf("%d files, %d records, an empty queue; the ledger gives a day of %d records in %v; %d calls failed and were repeated, %d files were queued again\n",
		s.files, st.Records, len(day), time.Since(begun).Round(time.Millisecond), s.again.Load(), s.mended.Load())
}

// phase prints a line at each tenth of the files, and one for all when it is stopped.
func (s *simulation) phase(what string) (stop func()) {
	s.done.Store(0)
	ctx, cancel := context.WithCancel(s.Context())
	var printing sync.WaitGroup
	begun := time.Now()
	line := func(from time.Time, n int64, label string) {
		rss, disk, cpu := s.usage()
		_, self := ofProcess(os.Getpid())
		fmt.Printf("%9d %s, %s %6.0f files/s; largest server %4d MiB, disk of a server %5d MiB, processor %v for the servers and %v for the workers\n",
			s.done.Load(), what, label, float64(n)/time.Since(from).Seconds(), rss>>20, disk>>20, cpu.Round(time.Second), self.Round(time.Second))
	}
	printing.Go(func() {
		tenth := int64(max(s.files/10, 10_000)) // small runs print no tenths
		from, next := begun, tenth
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			if s.done.Load() >= next {
				line(from, tenth, "the last tenth with")
				from, next = time.Now(), next+tenth
			}
		}
	})
	return func() {
		cancel()
		printing.Wait()
		line(begun, s.done.Load(), "in all")
	}
}
