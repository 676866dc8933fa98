package chaos_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"oracle-focus-agent/internal/chaos"
	"oracle-focus-agent/internal/simulator"
)

// A hunt is a small chaos run that leads to the places where one kind of bug hides: a
// world, and what is done to it. Sizes, numbers and moments are drawn from the seed; the
// judge is the checker of every other run.
type hunt struct {
	name    string
	options func(*chaos.Options) error // may be nil
	play    func(*hunting) error       // nil: a plan is drawn, as for every other run
	// fault is the kind of fault that the simulation must have served, or the run has
	// shown nothing; empty of none.
	fault string
}

// A hunting is one run of a hunt.
type hunting struct {
	*chaos.World
	ctx    context.Context
	rng    *rand.Rand
	number int // of the last report
}

// track plays the hunt, lets the world settle and returns what the checker says. An
// error means that the run has shown nothing.
func (h hunt) track(ctx context.Context, o chaos.Options) ([]chaos.Violation, error) {
	if h.play == nil {
		r, err := chaos.Run(ctx, o, chaos.NewPlan(o.Seed, randomTime, nil))
		if err != nil {
			return nil, err
		}
		return r.Violations, nil
	}
	if h.options != nil {
		if err := h.options(&o); err != nil {
			return nil, err
		}
	}
	w, err := chaos.NewWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	run := &hunting{World: w, ctx: ctx, rng: rand.New(rand.NewPCG(o.Seed, 19))}
	played := h.play(run)
	limited, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not at rest within 30s"))
	defer cancel()
	var found []chaos.Violation
	if err := w.Settle(limited); err != nil {
		found = append(found, chaos.Violation{Invariant: "I13", Text: err.Error()})
	}
	found = append(found, w.Check()...)
	if len(found) > 0 {
		return found, nil
	}
	return nil, errors.Join(played, run.void(h))
}

// void is an error where too little happened for a green run to say anything.
func (h *hunting) void(of hunt) error {
	if n := len(h.Sim.S3.History()); n < h.number {
		return fmt.Errorf("void: %d commits for %d reports", n, h.number)
	}
	if served := h.Sim.OCIFaults.Count()[of.fault] + h.Sim.S3Faults.Count()[of.fault]; of.fault != "" && served == 0 {
		return fmt.Errorf("void: no fault of the kind %q was served", of.fault)
	}
	return nil
}

// begin starts a scanner and some copiers.
func (h *hunting) begin(copiers int) error {
	for range copiers {
		if _, err := h.Start("copier"); err != nil {
			return err
		}
	}
	_, err := h.Start("scanner")
	return err
}

// meet starts everybody, and waits until each of so many files has met its fault.
func (h *hunting) meet(fault string, files int) error {
	if err := h.begin(1); err != nil {
		return err
	}
	return h.until(fmt.Sprintf("%d files have met the fault %q", files, fault), func() bool {
		return h.Sim.OCIFaults.Count()[fault]+h.Sim.S3Faults.Count()[fault] >= files
	})
}

// between draws a size.
func (h *hunting) between(least, most int64) int64 { return least + h.rng.Int64N(most-least+1) }

// content is new bytes of some size.
func (h *hunting) content(size int64) simulator.Content {
	return simulator.Random(h.rng.Uint64(), size)
}

// report adds a report of the last days with this content; change, which may be nil,
// says what else is special about it.
func (h *hunting) report(content simulator.Content, change func(*simulator.Object)) chaos.Version {
	return h.reportOf(h.rng.IntN(5), content, change)
}

func (h *hunting) reportOf(daysAgo int, content simulator.Content, change func(*simulator.Object)) chaos.Version {
	h.number++
	name := simulator.ReportName(time.Now().UTC().AddDate(0, 0, -daysAgo), int64(h.number), 1)
	o := simulator.Object{Name: name, Content: content}
	if change != nil {
		change(&o)
	}
	return h.Add(o)
}

// small and large are reports that are sent whole, and in parts.
func (h *hunting) small() chaos.Version { return h.report(h.content(h.between(1, 1<<20)), nil) }
func (h *hunting) large() chaos.Version {
	return h.report(h.content(h.between(chaos.PartSize+1, 3*chaos.PartSize)), nil)
}

// until waits for what must happen soon.
func (h *hunting) until(what string, holds func() bool) error {
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within 20s: %s", what)
		}
		if err := h.pass(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// pass lets some time pass.
func (h *hunting) pass(d time.Duration) error {
	select {
	case <-h.ctx.Done():
		return context.Cause(h.ctx)
	case <-time.After(d):
		return nil
	}
}

// visible reports whether the present version of every report stands at its key.
func (h *hunting) visible() bool {
	there := map[string]string{}
	for _, o := range h.Sim.S3.Objects() {
		there[o.Key] = o.CRC32C
	}
	for _, v := range h.History.Present() {
		if there[v.Key] != v.CRC32C {
			return false
		}
	}
	return true
}

// randomTime is how long a plan that was drawn lasts.
const randomTime = 8 * time.Second

// atRandom knows nothing of the bug.
func atRandom() hunt { return hunt{name: "at random"} }

// calm: files come, small and large, and nothing goes wrong.
func calm() hunt {
	return hunt{name: "calm", play: func(h *hunting) error {
		for range 3 + h.rng.IntN(5) {
			h.small()
		}
		h.large()
		return h.begin(2)
	}}
}

// overwrittenWhileRead: other bytes of the same size take the place of a file between the
// listing and the reading.
func overwrittenWhileRead() hunt {
	return hunt{name: "overwritten while read", fault: "hook", play: func(h *hunting) error {
		for range 6 {
			v := h.small()
			other := h.content(v.Size)
			h.Sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: v.Name, Times: 1, Do: simulator.Hook(func() { h.Overwrite(v.Name, other) })})
		}
		return h.meet("hook", 6)
	}}
}

// cutShort: bodies of files of which the source declares no checksum end early, with a
// length and without one.
func cutShort(ending simulator.Ending) hunt {
	name := map[simulator.Ending]string{simulator.NoLength: "cut short, without a length", simulator.KeepLength: "cut short"}[ending]
	return hunt{name: name, fault: "truncate", play: func(h *hunting) error {
		for range 6 {
			v := h.report(h.content(h.between(1000, 1<<20)), func(o *simulator.Object) { o.NoMD5, o.NoCRC32C = true, true })
			h.Sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: v.Name, Times: 1 + h.rng.IntN(2), Do: simulator.Truncate(h.rng.Int64N(v.Size), ending)})
		}
		return h.meet("truncate", 6)
	}}
}

// packed: the bucket says that its files are packed, as they are.
func packed() hunt {
	return hunt{name: "packed", play: func(h *hunting) error {
		for range 3 {
			h.report(simulator.FocusReport(h.rng.Uint64(), time.Now().UTC(), 50+h.rng.IntN(200)), func(o *simulator.Object) { o.ContentEncoding = "gzip" })
		}
		return h.begin(1)
	}}
}

// flippedBits: a bit of a large file is another one on its way from the source.
func flippedBits() hunt {
	return hunt{name: "flipped bits", fault: "flip", play: func(h *hunting) error {
		for range 2 {
			v := h.large()
			h.Sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: v.Name, Times: 1, Do: simulator.FlipBit(h.rng.Int64N(v.Size))})
		}
		return h.meet("flip", 2)
	}}
}

// stoppedInACopy: a copier is told to end while a large file trickles in, and its grace
// ends before the file does.
func stoppedInACopy() hunt {
	return hunt{name: "stopped in a copy", fault: "trickle", play: func(h *hunting) error {
		v := h.report(h.content(h.between(60<<20, 70<<20)), nil)
		h.Sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: v.Name, Times: 1, Do: simulator.Trickle(256<<10, 100*time.Millisecond)})
		if _, err := h.Start("scanner"); err != nil {
			return err
		}
		p, err := h.Start("copier")
		if err != nil {
			return err
		}
		if err := h.until("a part is there", func() bool {
			open := h.Sim.S3.OpenUploads()
			return len(open) == 1 && open[0].Parts > 0
		}); err != nil {
			return err
		}
		p.Term()
		limited, cancel := context.WithTimeout(h.ctx, 25*time.Second)
		defer cancel()
		_, err = p.Wait(limited)
		return err
	}}
}

// emptyAnswers: the destination answers a commit with a success, and nothing is there.
func emptyAnswers() hunt {
	return hunt{name: "empty answers", fault: "empty complete", play: func(h *hunting) error {
		for range 2 {
			v := h.large()
			h.Sim.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Name: v.Key, Times: 1, Do: simulator.EmptyComplete200()})
		}
		return h.meet("empty complete", 2)
	}}
}

// changed: files are delivered, and soon after that they are other ones.
func changed() hunt {
	return hunt{name: "changed soon", play: func(h *hunting) error {
		var all []chaos.Version
		for range 4 + h.rng.IntN(4) {
			all = append(all, h.small())
		}
		if err := h.begin(1); err != nil {
			return err
		}
		if err := h.until("everything is there", h.visible); err != nil {
			return err
		}
		for _, v := range all[:2+h.rng.IntN(2)] {
			h.Overwrite(v.Name, h.content(h.between(1, 1<<20)))
		}
		return nil
	}}
}

// backlog: files come faster than two copiers send them.
func backlog() hunt {
	return hunt{name: "backlog", fault: "latency", play: func(h *hunting) error {
		for range 40 + h.rng.IntN(20) {
			h.report(h.content(h.between(1, 100<<10)), nil)
		}
		h.Sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Latency(200 * time.Millisecond)})
		if err := h.begin(2); err != nil {
			return err
		}
		return h.until("everything is there", h.visible)
	}}
}

// failedListing: the first listings fail, and some files are of days that only a sweep lists.
func failedListing() hunt {
	return hunt{
		name: "failed listing", fault: "status 401", options: lookBack(5),
		play: func(h *hunting) error {
			for range 2 + h.rng.IntN(3) {
				h.small()
				h.reportOf(10+h.rng.IntN(60), h.content(h.between(1, 1<<20)), nil)
			}
			h.Sim.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Times: 1 + h.rng.IntN(2), Do: simulator.Status(401, "NotAuthenticated")})
			return h.meet("status 401", 1)
		},
	}
}

// lookBack sets how many days a scan looks back.
func lookBack(days int) func(*chaos.Options) error {
	return func(o *chaos.Options) error {
		o.Environ = append(o.Environ, fmt.Sprint("FOCUS_AGENT_LOOKBACK_DAYS=", days))
		return nil
	}
}

// oddAnswers: the destination refuses for a reason that nobody knows.
func oddAnswers() hunt {
	return hunt{name: "odd answers", fault: "status 400", play: func(h *hunting) error {
		for range 4 {
			v := h.small()
			h.Sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Name: v.Key, Times: 1 + h.rng.IntN(2), Do: simulator.Status(400, "NobodyKnowsThis")})
		}
		return h.meet("status 400", 4)
	}}
}

// lostCommits: the answers to commits are lost, and the keys may not look at what is there.
func lostCommits() hunt {
	return hunt{
		name: "lost commits", fault: "lost",
		options: func(o *chaos.Options) error { o.PutOnly = true; return nil },
		play: func(h *hunting) error {
			for range 2 {
				v := h.large()
				h.Sim.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Name: v.Key, Times: 1, Do: simulator.Lost()})
			}
			return h.meet("lost", 2)
		},
	}
}

// farZone: where the processes are it is tomorrow already, and a file comes for the last
// day on which a scan looks.
func farZone() hunt {
	return hunt{
		name: "far zone",
		options: func(o *chaos.Options) error {
			zone := filepath.Join(o.Dir, "zone")
			o.Environ = append(o.Environ, "TZ="+zone)
			return errors.Join(lookBack(5)(o), os.WriteFile(zone, tomorrow(), 0o600))
		},
		play: func(h *hunting) error {
			h.small()
			if _, err := h.Start("copier"); err != nil {
				return err
			}
			s, err := h.Start("scanner")
			if err != nil {
				return err
			}
			if err := h.until("a scan was complete", func() bool { return s.Says("sync complete") && h.visible() }); err != nil {
				return err
			}
			h.reportOf(5, h.content(h.between(1, 1<<20)), nil)
			return nil
		},
	}
}

// tomorrow is a time zone, in the format of the zone database (RFC 9636), that is almost
// a day ahead of UTC: there it is the next day at any time at which this runs.
func tomorrow() []byte {
	zone := append([]byte("TZif"), make([]byte, 16)...)
	for _, count := range []uint32{0, 0, 0, 0, 1, 4} { // one type of local time, four bytes of names
		zone = binary.BigEndian.AppendUint32(zone, count)
	}
	zone = binary.BigEndian.AppendUint32(zone, 24*60*60-1)
	return append(zone, 0, 0, 'F', 'A', 'R', 0)
}

// lies: the source declares checksums that its bytes do not have, so that files have to
// be given up.
func lies() hunt {
	return hunt{name: "lies", play: func(h *hunting) error {
		h.small()
		for range 2 {
			h.report(h.content(h.between(1, 1<<20)), func(o *simulator.Object) { o.CRC32C = "AAAAAA==" })
			h.number-- // it never becomes visible
		}
		return h.begin(1)
	}}
}

// talkative: everybody logs all that he has to say.
func talkative() hunt {
	quiet := calm()
	return hunt{
		name: "talkative", play: quiet.play,
		options: func(o *chaos.Options) error { o.Environ = append(o.Environ, "FOCUS_LOGGING_LEVEL=DEBUG"); return nil },
	}
}

// frozenCopier: a copier is frozen in the middle of a file. Another one gets the file,
// which is a newer one by now, and then the first one goes on.
func frozenCopier() hunt {
	return hunt{
		name: "frozen copier", fault: "hook",
		options: func(o *chaos.Options) error {
			o.Environ = append(o.Environ, "FOCUS_ADVANCED_STALL_TIMEOUT=60")
			return nil
		},
		play: func(h *hunting) error {
			v := h.report(h.content(h.between(100<<10, 1<<20)), nil)
			reached, release := make(chan struct{}), make(chan struct{})
			letGo := sync.OnceFunc(func() { close(release) })
			defer letGo()
			h.Sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: v.Name, Times: 1, Do: simulator.Hook(func() {
				close(reached)
				<-release
			}).AfterBytes(1 + h.rng.Int64N(v.Size-1))})
			if _, err := h.Start("scanner"); err != nil {
				return err
			}
			first, err := h.Start("copier")
			if err != nil {
				return err
			}
			select {
			case <-reached:
			case <-time.After(20 * time.Second):
				return errors.New("nobody reads the file")
			}
			first.Stop()
			h.Overwrite(v.Name, h.content(h.between(1, 1<<20)))
			if _, err := h.Start("copier"); err != nil {
				return err
			}
			if err := h.until("another copier sends the newer version", h.visible); err != nil {
				return err
			}
			first.Cont()
			// Not at once: a commit that was decided on before the freeze may follow its end.
			if err := h.pass(2500 * time.Millisecond); err != nil {
				return err
			}
			letGo()
			return h.pass(time.Duration(500+h.rng.IntN(500)) * time.Millisecond)
		},
	}
}
