package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/systemd"
)

// findManager finds the service manager that started this process, and tells it that
// the queue has to be opened before there is work.
func (r *route) findManager(a *app) (err error) {
	if r.manager, err = systemd.Find(a.getenv, r.log); err != nil {
		return &coded{exitConfig, err}
	}
	r.manager.Status(stillOpening(r.cfg))
	return nil
}

// manage tells the service manager that the work begins, what becomes of it, and when
// it ends. Until unwatch is called, the manager hears that this process lives, also
// while the copies in flight are being finished.
func (g *running) manage(ctx context.Context) (unwatch func()) {
	context.AfterFunc(ctx, g.manager.Stopping)
	g.manager.Ready()
	watched, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.manager.Watch(watched, func() string { return oneLine(g.board.Status()) })
	}()
	return func() {
		end()
		<-done
	}
}

// oneLine is a status as the service manager shows it.
func oneLine(s agent.Status) string {
	parts := []string{string(s.Phase)}
	if s.Problem != "" {
		parts = append(parts, s.Problem)
	}
	if s.Paused != nil {
		parts = append(parts, pausedText(s.Paused))
	}
	if s.LastScan != nil {
		parts = append(parts, "last scan ended "+s.LastScan.Started.Add(seconds(s.LastScan.Seconds)).UTC().Format(time.TimeOnly)+" UTC")
	}
	parts = append(parts, fmt.Sprintf("%d in flight, %d transferred, %d failed", len(s.InFlight), s.Totals.Transferred, s.Totals.Failed))
	return strings.Join(parts, "; ")
}

// scannerPulse and copierPulse tell the service manager's watchdog which loops live.
func (r *route) scannerPulse(within time.Duration) { r.manager.Pulse("scanner", within) }

func (r *route) copierPulse(hand int, within time.Duration) {
	r.manager.Pulse(fmt.Sprintf("copier slot %d, hand %d", hand/2, hand%2), within)
}
