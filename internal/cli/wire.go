package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/focus"
	"oracle-focus-agent/internal/limits"
	"oracle-focus-agent/internal/logging"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/internal/systemd"
	"oracle-focus-agent/internal/trace"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// partBuffers is how many part buffers of a chunk a process holds at most, or the same bytes
// in small files.
const partBuffers = 12

// grace is how long copies in flight may go on after a signal.
const grace = 20 * time.Second

// read reads the configuration and prints its warnings.
func (a *app) read(o config.Options) (*config.Config, error) {
	o.Path, o.Environ = a.config, a.env.Environ
	cfg, warnings, err := config.Load(o)
	for _, w := range warnings {
		fmt.Fprintf(a.env.Stderr, "warning: %v\n", w)
	}
	return cfg, err
}

// load reads the whole configuration and sets the limits of Go's runtime that follow from it.
func (a *app) load() (*config.Config, messages.Naming, error) {
	cfg, err := a.read(config.Options{})
	if err != nil {
		return nil, messages.Naming{}, err
	}
	n, err := messages.NewNaming(cfg.Naming.Template, cfg.Naming.DateFormat, cfg.Naming.Separator, cfg.Naming.AllowNested)
	if err != nil {
		return nil, n, &coded{exitConfig, err}
	}
	if a.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(96<<20 + partBuffers*cfg.Advanced.ChunkSizeBytes*3/2)
	}
	if a.env.Alone && cfg.Embedded() && a.getenv("GOMAXPROCS") == "" {
		addProcessor()
	}
	return cfg, n, nil
}

// addProcessor lets Go run one goroutine more at once than there are processors: the queue
// in the process waits in fsync for much of the time, and Go counts who waits in a system
// call as running until it has looked.
func addProcessor() {
	runtime.SetDefaultGOMAXPROCS() // so that a second call adds nothing
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
}

func (a *app) logger(cfg *config.Config, stream io.Writer) (*slog.Logger, func() error, error) {
	a.setLevel(cfg)
	log, file, err := logging.New(logging.Options{
		Level: &a.level, Style: cfg.Logging.Style(), Stream: stream,
		File: cfg.Logging.File, MaxSizeMB: cfg.Logging.MaxSizeMB, Backups: cfg.Logging.BackupCount,
	})
	if err != nil {
		return nil, nil, &coded{exitConfig, fmt.Errorf("logging.file: %w; set it to a file that this user can write", err)}
	}
	a.logFile = file
	return log, file.Close, nil
}

// setLevel sets the level of all loggers of this process.
func (a *app) setLevel(cfg *config.Config) {
	level := cfg.Logging.SlogLevel()
	if a.quiet {
		level = max(level, slog.LevelWarn)
	}
	a.level.Set(level)
}

// agentLog is the log of an agent, which in the background is its file alone.
func (a *app) agentLog(cfg *config.Config, o runOptions) (*slog.Logger, func() error, error) {
	if !o.reports {
		return a.logger(cfg, a.env.Stderr)
	}
	quiet := *cfg
	quiet.Logging.File = logFile(cfg)
	return a.logger(&quiet, nil)
}

// A route is everything of one process that works on one route.
type route struct {
	cfg      *config.Config
	naming   messages.Naming
	log      *slog.Logger
	assets   messages.Assets
	report   nats.Report  // of the setup
	server   *nats.Server // nil with an external queue
	conn     *nats.Conn
	ledger   *nats.Ledger
	identity messages.Identity
	source   *oci.Client // as it was opened; sides are what is in use
	dest     *s3.Client
	sides    sides
	reloaded atomic.Pointer[config.Config] // nil before the first reload
	traces   *trace.Traces                 // nil where nobody asked for any
	gate     *copier.Gate
	limits   *limits.Worker
	monitor  *monitor         // nil without http.listen
	alerts   *alerts          // nil without an address to tell
	manager  *systemd.Manager // nil where none started this process
	unlock   func() error
	hadMarks atomic.Bool  // the ledger held scan marks
	unnoted  atomic.Bool  // it was said that the note of the ledger cannot be written
	known    *state.Known // what is noted of a ledger that is gone; nil of none
}

// settings are the configuration as the last reload left it. What a reload cannot
// change is read from cfg.
func (r *route) settings() *config.Config {
	if c := r.reloaded.Load(); c != nil {
		return c
	}
	return r.cfg
}

func noStateDir() error {
	return &coded{exitConfig, errors.New("state.dir is not set and there is no home directory to default to; set state.dir")}
}

// lockState takes the lock of the state directory, which one agent holds while
// it runs. It is exit code 4 where another holds it.
func lockState(cfg *config.Config) (unlock func() error, err error) {
	dir := cfg.State.Dir
	if dir == "" {
		return nil, noStateDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("state.dir: %w; set state.dir to a directory that this user can write", err)}
	}
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("lock %s: %w", dir, err)}
	}
	if !ok {
		return nil, &coded{exitRunning, fmt.Errorf("an agent is already running on %s, or a command such as sync is at work there; see `oracle-focus-agent status`", dir)}
	}
	return lock.Unlock, nil
}

// lockEmbedded takes the lock for a command that opens the embedded queue by
// itself; an external one needs none.
func (r *route) lockEmbedded() (err error) {
	if r.cfg.Embedded() {
		r.unlock, err = lockState(r.cfg)
	}
	return err
}

// openQueue connects to the queue and makes sure that its assets are right; with
// no nats.url it starts the embedded server.
func (r *route) openQueue(ctx context.Context, role string) (err error) {
	if err = r.connectQueue(ctx, role); err != nil {
		return err
	}
	if r.report, err = nats.Setup(ctx, r.conn, r.assets, nats.Manage(r.cfg.Manage())); err != nil {
		return err
	}
	if r.ledger, err = r.conn.Ledger(ctx, r.assets.State, r.cfg.OCI.Name); err != nil || r.server == nil {
		return err
	}
	p, _, err := r.ledger.Pause(ctx)
	if err != nil {
		return err
	}
	return nats.RecreateConsumers(ctx, r.conn, r.assets, p)
}

// connectQueue connects, and looks at nothing there.
func (r *route) connectQueue(ctx context.Context, role string) (err error) {
	cfg := r.cfg
	r.assets = messages.Define(cfg.NATS.Prefix, cfg.OCI.Name, cfg.NATS.Replicas, cfg.NATS.AckWait.Std())
	opts := natsOptions(cfg, role)
	opts.Log = r.log
	if cfg.Embedded() {
		if r.server, err = nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: cfg.StoreDir(), Log: r.log}); err != nil {
			return lockedAs(err)
		}
		opts.InProcess = r.server
	}
	r.conn, err = connect(ctx, role, opts)
	return err
}

func natsOptions(cfg *config.Config, role string) nats.Options {
	host, _ := os.Hostname()
	return nats.Options{
		URLs: []string{cfg.NATS.URL}, Creds: cfg.NATS.Creds, NKeyFile: cfg.NATS.NkeyFile,
		CA: cfg.NATS.TLS.CA, Cert: cfg.NATS.TLS.Cert, Key: cfg.NATS.TLS.Key,
		Name: role + "/" + host, InboxPrefix: cfg.NATS.InboxPrefix,
	}
}

// queueWait is how long a command that ends by itself waits for the queue.
const queueWait = 10 * time.Second

// connect waits for the queue: the roles that run until a signal for ever, the
// commands that somebody waits for only for a while.
func connect(ctx context.Context, role string, o nats.Options) (*nats.Conn, error) {
	if waits(role) {
		return nats.Connect(ctx, o)
	}
	ctx, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	return nats.Connect(ctx, o)
}

// waits reports whether a role runs until a signal, so that it can wait for the queue.
func waits(role string) bool { return role == "run" || role == "scanner" || role == "copier" }

// scans reports whether a role decides by the ledger what is sent.
func scans(role string) bool {
	return role == "run" || role == "scanner" || role == "sync" || role == "backfill"
}

func lockedAs(err error) error {
	if errors.Is(err, nats.ErrLocked) {
		return &coded{exitRunning, err}
	}
	return &coded{exitConfig, err}
}

// openSides prepares the source and the destination; neither connects yet.
func (r *route) openSides(ctx context.Context) (err error) {
	cfg := r.cfg
	if r.source, err = oci.Open(oci.Options{
		Auth: oci.Kind(cfg.OCI.Auth), ConfigFile: cfg.OCI.ConfigFile, Profile: cfg.OCI.Profile, Origin: cfg.Origin("oci.config_file"),
		Namespace: cfg.OCI.Namespace, Bucket: cfg.OCI.Bucket, Prefix: cfg.OCI.Prefix,
		Region: cfg.OCI.Region, Endpoint: cfg.OCI.Endpoint, UsageEndpoint: cfg.OCI.UsageEndpoint,
		Stall: cfg.Advanced.StallTimeout.Std(), Connections: cfg.Agent.MaxConcurrentTransfers + copier.MaxLanes,
		Around: r.traces.Around(),
	}); err != nil {
		return err
	}
	r.dest, err = s3.Open(ctx, s3.Options{
		Bucket: cfg.S3.Bucket(), Prefix: cfg.S3.KeyPrefix(), Region: cfg.S3.Region, Endpoint: cfg.S3.Endpoint, Profile: cfg.S3.Profile,
		AccessKeyID: cfg.S3.AccessKeyID.Reveal(), SecretAccessKey: cfg.S3.SecretAccessKey.Reveal(), SessionToken: cfg.S3.SessionToken.Reveal(),
		Renewed: renewed(cfg),
		Extras: s3.Extras{
			StorageClass: cfg.S3.StorageClass, SSE: cfg.S3.SSE, KMSKeyID: cfg.S3.KMSKeyID, ACL: cfg.S3.ACL, Tags: cfg.S3.Tags.Query(),
		},
		ExpectedBucketOwner: cfg.S3.ExpectedBucketOwner,
		PathStyle:           cfg.S3.PathStyle, UnsignedPayload: cfg.S3.UnsignedPayload, Connections: cfg.Agent.MaxConcurrentTransfers + copier.MaxLanes,
		Stall: cfg.Advanced.StallTimeout.Std(), Around: r.traces.Around(),
	})
	if err != nil {
		return &coded{exitConfig, err}
	}
	r.sides.set(r.source, r.dest)
	return nil
}

// renewed reads the keys of S3 again, which stand in files that may have changed.
func renewed(cfg *config.Config) func() (id, secret, token string, err error) {
	return func() (id, secret, token string, err error) {
		now, err := cfg.Again()
		if err != nil {
			return "", "", "", err
		}
		return now.S3.AccessKeyID.Reveal(), now.S3.SecretAccessKey.Reveal(), now.S3.SessionToken.Reveal(), nil
	}
}

// open wires a whole route. The caller closes it, also after an error.
func (r *route) open(ctx context.Context, role string, c change) error {
	r.traces = trace.Open(trace.Options{Role: role, Route: r.cfg.OCI.Name, Version: version(), Instance: instance(), Log: r.log})
	if err := r.openSides(ctx); err != nil {
		return err
	}
	r.restrain()
	for {
		err := r.openState(ctx, role, c)
		if err == nil || ctx.Err() != nil || !waits(role) || r.server != nil || !nats.IsAway(err) {
			return err
		}
		r.log.Warn("the queue went away during the start; trying again", "err", err)
		if r.conn != nil {
			r.conn.Close()
			r.conn = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

func (r *route) openState(ctx context.Context, role string, c change) (err error) {
	if err := r.openQueue(ctx, role); err != nil {
		return err
	}
	if scans(role) {
		if err := r.expectLedger(ctx, &c); err != nil {
			return err
		}
	}
	if r.identity, err = settleIdentity(ctx, r.ledger, r.cfg, r.naming, c); err != nil || !scans(role) {
		return err
	}
	return r.begin(ctx, c)
}

// close ends what start and open began, in the opposite order.
func (r *route) close() error {
	var errs []error
	r.alerts.close()
	r.monitor.close()
	if r.conn != nil {
		r.conn.Close()
	}
	if r.server != nil {
		errs = append(errs, r.server.Shutdown())
	}
	r.sides.close()
	r.traces.Close()
	if r.unlock != nil {
		errs = append(errs, r.unlock())
	}
	return errors.Join(errs...)
}

func (r *route) rules() messages.Rules {
	return messages.Rules{
		Prefix: r.cfg.OCI.Prefix, MaxSize: r.cfg.Advanced.MaxFileSize(),
		KeyPrefix: r.cfg.S3.KeyPrefix(), Naming: r.naming,
	}
}

func (r *route) scanner() scanner.Scanner {
	return r.scannerWithPoints(scanner.Scanner{
		Lister: &r.sides, Ledger: r.ledger, Marks: sureMarks{r.ledger, r}, Publisher: r.publisher(),
		Forgetter: r.ledger, Retention: time.Duration(r.cfg.State.RetentionDays) * 24 * time.Hour,
		Route: r.cfg.OCI.Name, Rules: r.rules(), Epoch: r.identity.Epoch,
		Since: messages.Day(r.cfg.Agent.Since), Lookback: r.settings().Agent.LookbackDays,
		Interval: r.settings().Agent.PollInterval.Std(), Violated: r.monitor.violated, Trace: r.traces.Scan(), Log: r.log,
	})
}

// publisher queues files, and lets the trace of who queues one go along.
func (r *route) publisher() scanner.Publisher {
	p := r.conn.Publisher(r.cfg.NATS.Prefix)
	p.Headers = r.traces.Headers()
	return r.traces.Publisher(r.cfg.NATS.Prefix, p)
}

// restrain prepares what holds copies back: the gate, and the limits.
func (r *route) restrain() {
	r.gate = &copier.Gate{Probe: r.cfg.Retry.ProbeInterval.Std()}
	r.limits = limits.New(limits.Options{Slots: r.cfg.Agent.MaxConcurrentTransfers, Allowed: r.allowed, Log: r.log})
}

// allowed is what all workers of the route together may do at a time.
func (r *route) allowed(now time.Time) (rates limits.Rates, configured bool) {
	l := r.settings().Limits
	return limits.Rates{Bytes: float64(l.At(now)), Requests: float64(l.Requests)}, l.Set()
}

// share keeps to the part of this process until stop is called, which must be after the
// last copy.
func (r *route) share(ctx context.Context) (stop func()) {
	return r.limits.Share(ctx, r.ledger.Lease(instance(), limits.LeaseLife))
}

func (r *route) copier() *copier.Copier {
	sides := r.limits.Around(&r.sides)
	return r.withPoints(&copier.Copier{
		Queue: r.traces.Queue(r.conn.Queue(r.assets)), Ledger: r.ledger, Dead: r.conn.DeadLetters(r.cfg.NATS.Prefix),
		Source: sides, Objects: sides, Uploads: sides, Parts: sides, Relays: sides, Keys: r.sides.keys,
		Gate: r.gate, Budget: copier.NewBudget(partBuffers, r.cfg.Advanced.ChunkSizeBytes),
		Route: r.cfg.OCI.Name, Rules: r.rules(), Epoch: r.identity.Epoch, Born: r.identity.Created,
		Worker: instance(), Slots: r.cfg.Agent.MaxConcurrentTransfers, Resize: r.limits.Slots(),
		AckWait: r.assets.Live.AckWait, Chunk: r.cfg.Advanced.ChunkSizeBytes,
		Retry: copier.Retry{
			Initial: r.cfg.Retry.InitialDelay.Std(), Max: r.cfg.Retry.MaxDelay.Std(), Multiplier: r.cfg.Retry.BackoffMultiplier,
		},
		DeadAfter: r.cfg.Retry.DeadAfter.Std(), Grace: grace, Violated: r.monitor.violated, Log: r.log,
		Inspect: r.inspection(), HoldChanged: r.cfg.Integrity.Changed == "hold", HandMD5: r.cfg.S3.ContentMd5,
	})
}

// inspection reads the reports that are copied; nil where nobody wants that.
func (r *route) inspection() *copier.Inspection {
	if !r.cfg.Integrity.Statistics {
		return nil
	}
	i := copier.NewInspection(&focus.Inspector{})
	i.Required, i.Metadata, i.Wait = r.cfg.Integrity.RequireValidGzip, r.cfg.Integrity.Metadata, r.cfg.Integrity.StatisticsWait.Std()
	return i
}

// sync is one sync over this route.
func (r *route) sync() *agent.Sync {
	return &agent.Sync{Scanner: r.scanner(), Watch: r.watch, Gate: r.gate, MaxAttempts: r.settings().Retry.MaxRetries, Paused: r.pausedError}
}

func (r *route) watch(ctx context.Context, seen func(string, messages.Record)) {
	err := r.ledger.Watch(ctx, true, func(e nats.Entry) {
		if e.Err == nil && !e.Erased {
			seen(e.Key, e.Record)
		}
	})
	if err != nil {
		r.log.Warn("the ledger cannot be watched", "err", err)
	}
}

// patience is how long a running agent may take to answer what needs no work.
const patience = 10 * time.Second

// askQuickly asks the running agent for what it can tell at once.
func askQuickly(ctx context.Context, cfg *config.Config, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing came within %v; is it stopped or overloaded?", patience))
	defer cancel()
	return agent.Ask(ctx, cfg.State.Dir, path, in, out)
}
