package cli

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/logging"
	"oracle-focus-agent/internal/state"
)

func (a *app) supportBundleCommand() *cobra.Command {
	var output string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Collect what whoever helps you will ask for, without secrets, in one file", Args: cobra.NoArgs,
		Long: `Collect the configuration that is in effect, versions, the state of the agent, of
the queue and of the ledger, what failed and why, and the end of the log, in one
.tar.gz that only its owner can read. It holds no secret, but the names of hosts,
buckets and reports: look at it before you send it. It works with and without a
running agent, and says what could not be had. Nothing is changed.`,
		Example: "  oracle-focus-agent support-bundle -o support.tar.gz",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.supportBundle(cmd.Context(), output, asJSON) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file (default oracle-focus-agent-support-<time>.tar.gz here)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what it holds as one JSON object")
	return cmd
}

// A bundle collects parts. What a part lacks is said in the list of them, which is
// the first file of the archive.
type bundle struct {
	File    string    `json:"file"`
	Created time.Time `json:"created"`
	Parts   []part    `json:"parts"`

	hide []string // the secrets of the configuration
}

type part struct {
	Name    string `json:"name"`
	Bytes   int    `json:"bytes"`
	Problem string `json:"problem,omitempty"`

	text []byte
}

func (a *app) supportBundle(ctx context.Context, output string, asJSON bool) error {
	now := time.Now().UTC()
	b := &bundle{File: cmp.Or(output, "oracle-focus-agent-support-"+now.Format("20060102-150405")+".tar.gz"), Created: now}
	cfg, warnings, err := config.Load(config.Options{Path: a.config, Environ: a.env.Environ, Incomplete: true})
	if err != nil {
		b.add("config.json", map[string]any{"warnings": warnings}, err)
		b.add("versions.json", ownVersions(), nil)
	} else {
		b.hide = secretsOf(cfg)
		b.add("config.json", map[string]any{"file": cfg.File(), "settings": cfg.Settings(), "warnings": warnings}, nil)
		a.collect(ctx, cfg, b)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := state.WriteFile(b.File, b.write); err != nil {
		return fmt.Errorf("write the bundle: %w; --output names another file", err)
	}
	if asJSON {
		return a.printJSON(b)
	}
	return a.printBundle(b)
}

func (a *app) printBundle(b *bundle) error {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, p := range b.Parts {
		size := humanize.IBytes(uint64(p.Bytes))
		if p.Problem != "" {
			size += "; INCOMPLETE: " + printable(p.Problem)
		}
		fmt.Fprintf(w, "%s\t%s\n", p.Name, size)
	}
	fmt.Fprintf(w, "\nwrote %s; it holds no secret, but names of hosts, buckets and reports\n", b.File)
	return w.Flush()
}

// collect adds what needs a configuration.
func (a *app) collect(ctx context.Context, cfg *config.Config, b *bundle) {
	status, err := statusHere(ctx, cfg)
	if errors.Is(err, agent.ErrNotRunning) {
		err = nil
	}
	b.add("agent.json", status, err)
	e, closeEvidence, err := a.evidence(ctx, cfg)
	defer func() { _ = closeEvidence() }() // nothing was changed that could be lost
	b.addEvidence(ctx, e, err)
	if err == nil {
		instances, err := askInstances(ctx, cfg)
		b.add("instances.json", instances, err)
	}
	host, err := hostOf(cfg)
	b.add("host.json", host, err)
	log, problems, err := logTail(logFile(cfg))
	b.addText("log.txt", log, err)
	b.addText("log-problems.txt", problems, nil)
}

// add puts v in as JSON. err is what it lacks.
func (b *bundle) add(name string, v any, err error) {
	text, bad := json.MarshalIndent(v, "", "  ")
	b.addText(name, append(text, '\n'), errors.Join(err, bad))
}

func (b *bundle) addText(name string, text []byte, err error) {
	var visible bytes.Buffer
	_, _ = logging.Visible(&visible).Write(b.redact(text)) // a buffer takes all
	p := part{Name: name, text: visible.Bytes()}
	if p.Bytes = len(p.text); err != nil {
		p.Problem = string(b.redact([]byte(err.Error())))
	}
	b.Parts = append(b.Parts, p)
}

// secretsOf are the values that must not be in a bundle, whoever wrote them there.
func secretsOf(cfg *config.Config) (all []string) {
	for _, v := range cfg.Secrets() {
		if len(v) > 3 {
			all = append(all, v)
		}
	}
	return all
}

// telltale is the form of what may never leave a host: a private key, an nkey seed,
// a user and a password in an address, the signature of a signed address.
var telltale = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)` +
	`|\bS[UANOC][A-Z2-7]{56}\b|://[^/\s"@]+@|X-Amz-(?:Signature|Security-Token|Credential)=[^&\s"]+`)

func (b *bundle) redact(text []byte) []byte {
	for _, secret := range b.hide {
		text = bytes.ReplaceAll(text, []byte(secret), []byte("***"))
	}
	return telltale.ReplaceAllFunc(text, func(found []byte) []byte {
		if bytes.HasPrefix(found, []byte("://")) {
			return []byte("://***@")
		}
		return []byte("***")
	})
}

// write writes the archive.
func (b *bundle) write(w io.Writer) error {
	list, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	dir := "oracle-focus-agent-support/"
	for _, p := range append([]part{{Name: "contents.json", text: append(list, '\n')}}, b.Parts...) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: dir + p.Name, Mode: 0o600, Size: int64(len(p.text)), ModTime: b.Created}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(p.text); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

// A host is what of this machine matters to the agent.
type host struct {
	Name      string `json:"name"`
	CPUs      int    `json:"cpus"`
	StateDir  string `json:"state_dir"`
	DiskFree  uint64 `json:"disk_free_bytes"`
	DiskTotal uint64 `json:"disk_total_bytes"`
}

func hostOf(cfg *config.Config) (host, error) {
	h := host{CPUs: runtime.NumCPU(), StateDir: cfg.State.Dir}
	h.Name, _ = os.Hostname()
	if h.StateDir == "" {
		return h, nil
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(h.StateDir, &disk); err != nil {
		return h, fmt.Errorf("look at the disk of state.dir: %w", err)
	}
	h.DiskFree, h.DiskTotal = disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	return h, nil
}

const (
	logBytes     = 512 << 10 // of the end of the log
	problemBytes = 8 << 20   // how far back errors are looked for
	problemLines = 500
)

// logTail is the end of a log file, and the last of its warnings and errors.
func logTail(path string) (tail, problems []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; where the log goes to standard error, add it by hand, from journalctl or from docker logs", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	text := make([]byte, min(info.Size(), problemBytes))
	n, err := f.ReadAt(text, info.Size()-int64(len(text)))
	if errors.Is(err, io.EOF) { // it was cut meanwhile
		err = nil
	}
	text = text[:n]
	grave := regexp.MustCompile(`\b(?:ERROR|CRITICAL|WARN(?:ING)?)\b`)
	var found []string
	for line := range strings.Lines(string(text)) {
		if grave.MatchString(line) {
			found = append(found, line)
		}
	}
	found = found[max(0, len(found)-problemLines):]
	return wholeLines(text, logBytes), []byte(strings.Join(found, "")), err
}

// wholeLines is the end of a text of at most n bytes, without a part of a line.
func wholeLines(text []byte, n int) []byte {
	if len(text) <= n {
		return text
	}
	text = text[len(text)-n:]
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return rest
}
