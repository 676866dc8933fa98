package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"oracle-focus-agent/internal/web"
)

const (
	keptJobs = 50
	// jobAnswer is how long an order waits for its end before it is told to go on in the
	// background.
	jobAnswer = 5 * time.Second
)

// A jobBook runs what is ordered, each kind once at a time, and remembers what came of
// it. A crash forgets jobs and breaks them off; what they did stands in ledger and trail.
type jobBook struct {
	mu   sync.Mutex
	last int
	jobs []*web.Job // oldest first
}

// all are the jobs, the newest first.
func (b *jobBook) all() []web.Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]web.Job, 0, len(b.jobs))
	for _, j := range slices.Backward(b.jobs) {
		out = append(out, *j)
	}
	return out
}

// begin notes a job, unless one of its kind runs.
func (b *jobBook) begin(action, by, reason string) (*web.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		if j.Action == action && j.State == web.JobRunning {
			return nil, web.NewProblem(http.StatusConflict, fmt.Sprintf("%q runs already, ordered by %s", action, j.By), "wait for its end")
		}
	}
	b.last++
	j := &web.Job{ID: b.last, Action: action, By: by, Reason: reason, Started: time.Now().UTC(), State: web.JobRunning, Text: "it is at work"}
	b.jobs = append(b.jobs, j)
	b.jobs = b.jobs[max(0, len(b.jobs)-keptJobs):]
	return j, nil
}

// end notes what came of a job, and returns a copy of it.
func (b *jobBook) end(j *web.Job, done web.Job, err error) web.Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	j.Ended, j.State = time.Now().UTC(), web.JobDone
	j.Text, j.Count, j.Verification, j.Alerts = done.Text, done.Count, done.Verification, done.Alerts
	if err != nil {
		j.State, j.Text = web.JobFailed, printable(err.Error())
	}
	return *j
}

func (b *jobBook) copy(j *web.Job) web.Job {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *j
}

// work runs a job in the background, and waits a moment for its end. Who ordered it may
// leave: it goes on until it ends or the process does.
func (o *overview) work(ctx context.Context, action string, by web.Actor, do func(context.Context) (web.Job, error)) (web.Job, error) {
	j, err := o.jobs.begin(action, actorText(by), by.Reason)
	if err != nil {
		return web.Job{}, err
	}
	ended := make(chan web.Job, 1)
	o.goOn(func() {
		done, err := do(o.ctx)
		o.outdate()
		ended <- o.jobs.end(j, done, err)
	})
	late := time.NewTimer(jobAnswer)
	defer late.Stop()
	select {
	case done := <-ended:
		return done, nil
	case <-late.C:
	case <-ctx.Done():
	}
	return o.jobs.copy(j), nil
}

// actorText is who acts, for the record: "anna from 10.0.0.5 by the page". Who typed a
// command is user@host there; an address is no host, and so is not written like one.
func actorText(by web.Actor) string {
	return printable(fmt.Sprintf("%s from %s by the %s", by.Who, by.From, by.Via))
}
