package cli

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/web"
)

// A fleetBook keeps what the processes of all hosts said last.
type fleetBook struct {
	mu      sync.Mutex
	others  map[string]heard
	failure string
}

type heard struct {
	status agent.Status
	at     time.Time
}

const (
	fleetEvery = 5 * time.Second
	staleAfter = 20 * time.Second
	lostAfter  = time.Hour
)

// keepFleet asks the other hosts while somebody looks.
func (o *overview) keepFleet(w *observation) {
	if w.agent.server != nil || !w.agent.cfg.NATS.Service { // nobody else, or nobody who tells
		return
	}
	tick := time.NewTicker(fleetEvery)
	defer tick.Stop()
	for {
		if o.looking() {
			answers, err := w.agent.conn.Statuses(o.ctx, w.agent.cfg.NATS.Prefix)
			o.fleet.take(answers, err, w.agent.cfg.OCI.Name)
		}
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *fleetBook) take(answers []json.RawMessage, err error, route string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = errText(err)
	if b.others == nil {
		b.others = map[string]heard{}
	}
	now := time.Now()
	for _, a := range answers {
		var s agent.Status
		if err := json.Unmarshal(a, &s); err != nil || s.Instance == "" || s.Route != route {
			continue
		}
		b.others[s.Instance] = heard{s, now}
	}
	for name, h := range b.others {
		if now.Sub(h.at) > lostAfter {
			delete(b.others, name)
		}
	}
}

func (b *fleetBook) problem() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// seen are all processes, and what they are copying; own is the one that answers.
func (b *fleetBook) seen(own agent.Status, now time.Time) (workers []web.Worker, moving []web.Transfer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := []heard{{own, now}}
	for name, h := range b.others {
		if name != own.Instance {
			all = append(all, h)
		}
	}
	moving = []web.Transfer{}
	for _, h := range all {
		s := h.status
		worker := web.Worker{
			Role: s.Role, Instance: s.Instance, Version: s.Version, Started: s.Started, Ready: s.Ready, Problem: s.Problem,
			Copying: len(s.InFlight), Delivered: s.Recent.Transferred, DeliveredBytes: s.Recent.Bytes, LastSuccess: lastSuccess(s),
			Heard: h.at.UTC(), Stale: now.Sub(h.at) > staleAfter, Skew: s.Version != own.Version, Self: s.Instance == own.Instance,
		}
		workers = append(workers, worker)
		if worker.Stale {
			continue
		}
		for _, t := range s.InFlight {
			moving = append(moving, transferOf(t, s.Instance, h.at))
		}
	}
	slices.SortFunc(workers, func(x, y web.Worker) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Instance, y.Instance))
	})
	slices.SortFunc(moving, func(x, y web.Transfer) int { return strings.Compare(x.Object, y.Object) })
	return workers, moving
}

// transferOf adds what follows from the bytes so far.
func transferOf(t agent.Transfer, worker string, at time.Time) web.Transfer {
	out := web.Transfer{Transfer: t, Worker: worker}
	if t.Size > 0 {
		out.Percent = int(min(100, t.Bytes*100/t.Size))
	}
	if took := at.Sub(t.Started).Seconds(); took > 0 && t.Bytes > 0 {
		out.Rate = float64(t.Bytes) / took
		out.Left = float64(max(0, t.Size-t.Bytes)) / out.Rate
	}
	return out
}
