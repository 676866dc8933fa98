package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// SettleTime is how long a world may take to come to rest after the last fault.
const SettleTime = 90 * time.Second

// An ending is what the queue and the ledger hold when all processes have ended.
type ending struct {
	seen    bool
	records map[string]messages.Record // by object
	uploads map[string]messages.Upload // by object
	queue   uint64                     // messages
}

// Settle ends all faults, sees to it that a scanner and a copier run, and waits until
// nothing is left to do; then it ends all processes in order, and looks at what is left.
// An error says why the world did not come to rest.
func (w *World) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, SettleTime, fmt.Errorf("I13: not at rest %v after the last fault", SettleTime))
	defer cancel()
	w.Heal()
	w.History.note(Event{Kind: Healed, Text: "everything: from here on nothing is broken"})
	if w.server != nil {
		if err := w.StartServer(ctx); err != nil {
			return err
		}
	}
	var err error
	for ctx.Err() == nil {
		if err = w.rest(ctx); err != nil {
			break
		}
		if err = w.finish(ctx); err != nil {
			break
		}
		if err = w.look(ctx); err == nil {
			if err = w.unfinished(w.end); err == nil {
				return nil
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = errors.Join(cause, err)
	}
	return errors.Join(err, w.look(context.WithoutCancel(ctx)))
}

// rest waits until the destination is as it should be, and the queue is empty.
func (w *World) rest(ctx context.Context) error {
	if err := w.staff(); err != nil {
		return err
	}
	var conn *nats.Conn // nil with an embedded queue
	if w.server != nil {
		var err error
		if conn, err = w.connect(ctx); err != nil {
			return err
		}
		defer conn.Close()
	}
	kick := time.NewTicker(time.Second)
	defer kick.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	var last error
	for {
		if last = w.atRest(ctx, conn); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-kick.C:
			if err := w.staff(); err != nil {
				return err
			}
			for _, p := range w.Processes() {
				if p.Running() && p.Role != "copier" {
					p.Scan()
				}
			}
		case <-poll.C:
		}
	}
}

// atRest says what is still to be done. With an embedded queue nobody can be asked but
// the destination.
func (w *World) atRest(ctx context.Context, conn *nats.Conn) error {
	if !w.atWork() {
		return errors.New("a process has not begun to work")
	}
	if conn == nil {
		return w.missing(ending{})
	}
	now, err := w.askOver(ctx, conn)
	if err == nil {
		err = w.unfinished(now)
	}
	if err == nil {
		err = w.missing(now)
	}
	return err
}

// staff starts what a complete installation needs and nobody runs.
func (w *World) staff() error {
	roles := []string{"scanner", "copier"}
	if w.server == nil {
		roles = []string{"run"}
	}
	for _, role := range roles {
		if len(w.running(role)) == 0 {
			if _, err := w.Start(role); err != nil {
				return err
			}
		}
	}
	return nil
}

// atWork reports whether all that run can be told to end in order, which a process
// cannot in its first milliseconds; and whether each with a queue inside has scanned,
// since what waits there cannot be asked for meanwhile.
func (w *World) atWork() bool {
	for _, p := range w.Processes() {
		if p.Running() && (!p.Says("msg=started") || w.server == nil && !p.Says("sync complete")) {
			return false
		}
	}
	return true
}

// finish ends all processes by SIGTERM.
func (w *World) finish(ctx context.Context) error {
	running := []*Process{}
	for _, p := range w.Processes() {
		if p.Running() {
			running = append(running, p)
			p.Term()
		}
	}
	for _, p := range running {
		if err := p.end(ctx); err != nil {
			w.mu.Lock()
			w.ends = append(w.ends, err)
			w.mu.Unlock()
			p.Kill()
		}
	}
	return nil
}

// missing says which report is not at its key, byte for byte. One that was given up since
// its bytes are not what is declared of them can not be there.
func (w *World) missing(e ending) error {
	there := map[string]string{}
	for _, o := range w.Sim.S3.Objects() {
		there[o.Key] = fmt.Sprint(o.Size, o.CRC32C)
	}
	for name, v := range w.History.Present() {
		r := e.records[name]
		corrupt := v.Lies || r.Status == messages.StatusFailed && r.Class == messages.HashMismatch && r.Object.ETag == v.ETag
		if v.Key != "" && !corrupt && there[v.Key] != fmt.Sprint(v.Size, v.CRC32C) {
			return fmt.Errorf("%q is not at its key in its version %d", name, v.Number)
		}
	}
	return nil
}

// unfinished says what queue and ledger still have to do.
func (w *World) unfinished(e ending) error {
	if e.queue > 0 {
		return fmt.Errorf("%d messages are queued", e.queue)
	}
	for name, v := range w.History.Present() {
		if r := e.records[name]; v.Key != "" && !(r.Status.Final() && r.Object.ETag == v.ETag) {
			return fmt.Errorf("the record of %q is %q of etag %s", name, r.Status, r.Object.ETag)
		}
	}
	return nil
}

// look keeps what is left in the end.
func (w *World) look(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if w.server != nil {
		w.end, err = w.ask(ctx)
		return err
	}
	server, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: filepath.Join(w.options.Dir, "state", "nats")})
	if err != nil {
		return err
	}
	conn, err := nats.Connect(ctx, nats.Options{InProcess: server, Name: "checker"})
	if err == nil {
		w.end, err = w.askOver(ctx, conn)
		conn.Close()
	}
	return errors.Join(err, server.Shutdown())
}

func (w *World) ask(ctx context.Context) (ending, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return ending{}, err
	}
	defer conn.Close()
	return w.askOver(ctx, conn)
}

func (w *World) askOver(ctx context.Context, conn *nats.Conn) (e ending, err error) {
	e = ending{seen: true, records: map[string]messages.Record{}, uploads: map[string]messages.Upload{}}
	status, err := conn.Status(ctx, w.assets)
	if err != nil {
		return e, err
	}
	e.queue = status.Messages
	ledger, err := conn.Ledger(ctx, w.assets.State, route)
	if err != nil {
		return e, err
	}
	for r, err := range ledger.Records(ctx) {
		if err != nil {
			return e, err
		}
		e.records[w.Rules.Prefix+r.Day.Folder()+r.Basename] = r.Record
	}
	uploads, err := ledger.Uploads(ctx)
	for _, u := range uploads {
		e.uploads[u.Name] = u.Upload
	}
	return e, err
}
