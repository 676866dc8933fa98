// Package chaos puts the whole product through faults and tells whether it kept what it
// promises: real processes around a simulated OCI and S3, a real NATS server between
// them, a driver that edits the source, a nemesis that breaks what can break, and a
// checker that knows all that was said and done.
//
// What it judges by is what it saw itself: the edits of the source, the commits of the
// destination, and each message between the processes and the queue. Logs and claims of
// the product prove nothing here, but where secrets are looked for.
package chaos

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/youmark/pkcs8"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

const (
	route        = "main"
	prefix       = "focus"
	kvSubject    = "$KV." + prefix + "_state."
	filesSubject = prefix + ".files."
	deadSubject  = prefix + ".dead."
	keyPrefix    = "simulated/0/account/"

	// PartSize is that of uploads in every world, in bytes: the smallest that S3 takes.
	PartSize = 5 << 20
	// Lookback is how many report days each scan looks back. What is older, and not older
	// than Since, only the first scan of a world sees: it goes to the backfill lane.
	Lookback = 80
	// Since is how many days ago the responsibility of the installation begins.
	Since = 90

	s3Secret   = "CanaryS3SecretMt5xQ8rKcYw2ZpLd7GfB"
	passPhrase = "CanaryPassPhraseRv3Hn9JtXe6Ub"
)

// Options describe a World.
type Options struct {
	Seed    uint64
	Program string // path of the product
	Server  string // path of nats-server; not needed with Embedded
	// Dir is for all files of the world, and stays.
	Dir string
	// AckWait is that of the consumers; default one second.
	AckWait time.Duration
	// Environ are more variables of every process, NAME=value.
	Environ []string
	// PutOnly: the keys of S3 may write and nothing else.
	PutOnly bool
	// Relays has the parts of large files sent as they are read: nobody looks at their bytes,
	// and the SHA-256 of bodies is not signed.
	Relays bool
	// Embedded: no server; the processes are "run" and "sync" with a queue inside.
	Embedded bool
	// KeyFile is a key of OCI, in PEM and without pass phrase; empty: a new one is made,
	// which takes a while.
	KeyFile string
	// PowerCuts: nats-server has a disk of its own, whose power can be cut; needs root.
	PowerCuts bool
}

// A World is a simulated source and destination, a queue, and processes of the product
// around them.
type World struct {
	Sim     *simulator.Simulation
	History *History
	Rules   messages.Rules

	options Options
	environ []string
	server  *natsServer // nil with an embedded queue
	assets  messages.Assets
	key     []byte // that of OCI, as no output may show it

	disk    *disk      // of the server; nil where its power is not cut
	serving sync.Mutex // guards what is done to the server

	mu        sync.Mutex
	processes []*Process
	count     int
	lendings  map[string]string // object by the subject of its acknowledgement
	foreign   []string          // requests outside of the configured places
	sent      []sending
	end       ending
	ends      []error // of processes that were told to end, and did not in order
}

// NewWorld starts the simulation and the server, and makes the assets with the
// product's own setup. The caller closes it.
func NewWorld(ctx context.Context, o Options) (*World, error) {
	if o.AckWait == 0 {
		o.AckWait = time.Second
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	w := &World{options: o, History: newHistory(), lendings: map[string]string{}}
	if err := w.build(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *World) build(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Join(w.options.Dir, "home"), 0o700); err != nil {
		return err
	}
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		return err
	}
	w.Rules = messages.Rules{Prefix: simulator.Prefix, KeyPrefix: keyPrefix, Naming: naming}
	w.assets = messages.Define(prefix, route, 1, w.options.AckWait)
	if err := w.openSides(); err != nil {
		return err
	}
	if w.options.Embedded {
		return nil
	}
	store := filepath.Join(w.options.Dir, "nats")
	if w.options.PowerCuts {
		if w.disk, err = newDisk(w.options.Dir); err != nil {
			return fmt.Errorf("make a disk whose power can be cut: %w", err)
		}
		store = filepath.Join(w.disk.mount, "nats")
	}
	if w.server, err = newServer(w.options.Server, w.options.Dir, store); err != nil {
		return err
	}
	if err := w.server.start(ctx); err != nil {
		return err
	}
	p, err := w.Start("setup")
	if err != nil {
		return err
	}
	p.want()
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("setup exits with %d:\n%s", code, p.Output()))
	}
	return nil
}

// openSides starts the simulation with a key of its own for each process, so that a
// commit tells whose it is.
func (w *World) openSides() (err error) {
	policy := simulator.Policy(simulator.AllowAll)
	if w.options.PutOnly {
		policy = simulator.PutOnly
	}
	w.Sim, err = simulator.New(simulator.Options{
		Seed: w.options.Seed, KeyFile: w.options.KeyFile, AccessKeyID: accessKey(0), SecretAccessKey: s3Secret, Policy: policy,
	})
	if err != nil {
		return err
	}
	for n := range 9999 {
		w.Sim.S3.Keys[accessKey(n)] = simulator.AccessKey{Secret: s3Secret, Policy: policy}
	}
	w.watch()
	config, err := w.writeOCIConfig()
	if err != nil {
		return err
	}
	w.environ = append(w.Sim.Environment(config), "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(w.options.Dir, "home"),
		"FOCUS_STATE_DIR="+filepath.Join(w.options.Dir, "state"), "FOCUS_NATS_ACK_WAIT="+w.options.AckWait.String(),
		fmt.Sprint("FOCUS_ADVANCED_CHUNK_SIZE_BYTES=", PartSize), "FOCUS_ADVANCED_STALL_TIMEOUT=2",
		"FOCUS_RETRY_INITIAL_DELAY=0.1", "FOCUS_RETRY_MAX_DELAY=1", "FOCUS_RETRY_PROBE_INTERVAL=1",
		"FOCUS_AGENT_POLL_INTERVAL=60", fmt.Sprint("FOCUS_AGENT_LOOKBACK_DAYS=", Lookback), "FOCUS_AGENT_SINCE="+string(messages.DayOf(time.Now()).Add(-Since)), "FOCUS_VERIFY_INTERVAL=0")
	if w.options.Relays {
		w.environ = append(w.environ, "FOCUS_S3_UNSIGNED_PAYLOAD=true", "FOCUS_INTEGRITY_STATISTICS=false")
	}
	w.environ = append(w.environ, w.options.Environ...)
	return nil
}

// accessKey is that of the process of a number.
func accessKey(number int) string { return fmt.Sprintf("AKIACHAOS%011d", number) }

// owner is the process that an access key belongs to.
func (w *World) owner(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if accessKey(p.number) == key {
			return p.Name
		}
	}
	return key
}

// writeOCIConfig writes a configuration whose key needs a pass phrase.
func (w *World) writeOCIConfig() (path string, err error) {
	k := w.Sim.Key
	der, err := pkcs8.MarshalPrivateKey(k.Private, []byte(passPhrase), nil)
	if err != nil {
		return "", err
	}
	w.key = der
	file := filepath.Join(w.options.Dir, "home", "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", err
	}
	text := fmt.Sprintf("[DEFAULT]\nuser=%s\nfingerprint=%s\ntenancy=%s\nregion=%s\nkey_file=%s\npass_phrase=%s\n",
		k.User, k.Fingerprint, k.Tenancy, w.Sim.OCIRegion, file, passPhrase)
	path = filepath.Join(w.options.Dir, "home", "oci_config")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// Close ends all processes at once, and the simulation. The files stay.
func (w *World) Close() {
	w.Heal()
	for _, p := range w.Processes() {
		p.Kill()
	}
	if w.server != nil {
		w.server.kill()
	}
	if w.disk != nil && w.disk.device != "" {
		w.disk.detach() // what cannot be detached stays, and harms nobody
	}
	if w.Sim != nil {
		w.Sim.Close()
	}
}

// Processes are all that were ever started.
func (w *World) Processes() []*Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Process{}, w.processes...)
}

// running are the processes of a role that live.
func (w *World) running(role string) (all []*Process) {
	for _, p := range w.Processes() {
		if p.Role == role && p.Running() {
			all = append(all, p)
		}
	}
	return all
}

// Add puts an object into the source, or another version of it, and remembers it.
func (w *World) Add(o simulator.Object) Version {
	w.Sim.Source.Add(o)
	r, _ := w.Sim.Source.Report(o.Name)
	v := Version{Name: o.Name, ETag: r.ETag, Key: keyOf(w.Rules, o.Name), Size: o.Content.Size(), CRC32C: crc32cOf(o.Content)}
	v.Lies = o.CRC32C != "" && o.CRC32C != v.CRC32C
	return w.History.edited(v)
}

// AddReport adds a report of random bytes: of a day so many days ago, with a number
// that tells it from the others.
func (w *World) AddReport(daysAgo, number int, size int64) Version {
	name := simulator.ReportName(time.Now().UTC().AddDate(0, 0, -daysAgo), int64(number), 1)
	return w.Add(simulator.Object{Name: name, Content: simulator.Random(w.options.Seed<<20+uint64(number), size)})
}

// Overwrite gives a name other bytes, or the same ones with another etag.
func (w *World) Overwrite(name string, c simulator.Content) Version {
	return w.Add(simulator.Object{Name: name, Content: c})
}

// Delete removes names from the source.
func (w *World) Delete(names ...string) {
	for _, name := range names {
		w.Sim.Source.Remove(name)
		w.History.removed(name)
	}
}

// KillServer is SIGKILL for the NATS server.
func (w *World) KillServer() {
	w.serving.Lock()
	defer w.serving.Unlock()
	w.History.note(Event{Kind: Fault, Text: "nats-server killed"})
	w.server.kill()
}

// freezeServer stops the NATS server, or lets it go on.
func (w *World) freezeServer(frozen bool) {
	w.serving.Lock()
	defer w.serving.Unlock()
	if w.server.freeze(frozen) {
		e := Event{Kind: Healed, Text: "nats-server goes on"}
		if frozen {
			e.Kind, e.Text = Fault, "nats-server frozen"
		}
		w.History.note(e)
	}
}

// StartServer starts it again on its port and its files, if it does not run.
func (w *World) StartServer(ctx context.Context) error {
	w.serving.Lock()
	defer w.serving.Unlock()
	if w.server.cmd != nil {
		return nil
	}
	err := w.server.start(ctx)
	w.History.note(Event{Kind: Healed, Text: "nats-server started"})
	return err
}

// Heal ends all faults but those of processes and servers that are gone.
func (w *World) Heal() {
	if w.Sim != nil {
		w.Sim.OCIFaults.Clear()
		w.Sim.S3Faults.Clear()
		w.watch()
	}
	if w.server != nil {
		w.freezeServer(false)
	}
	for _, p := range w.Processes() {
		if p.Running() {
			p.Cont()
		}
		if p.proxy != nil {
			p.proxy.heal()
		}
	}
}

func (w *World) lend(reply, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lendings[reply] = name
}

func (w *World) lent(reply string) (name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lendings[reply]
}

// connect opens a connection of the checker's own.
func (w *World) connect(ctx context.Context) (*nats.Conn, error) {
	return nats.Connect(ctx, nats.Options{URLs: []string{"nats://" + w.server.address()}, NKeyFile: w.server.seedFile, Name: "checker"})
}
