package natsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natsserver"
	"oracle-focus-agent/messages"
)

const day = 24 * time.Hour

// layout are the files, in the order in which they are made.
func layout() (files []string) {
	files = []string{"ca/key.pem", "ca/ca.pem"}
	for _, r := range []string{"scanner", "copier", "agent", "viewer", "admin", "system"} {
		files = append(files, r+"/user.nk", r+"/ca.pem")
	}
	return append(files, "server/ca.pem", "server/key.pem", "server/cert.pem", "server/nats.conf")
}

func below(dir string, names []string) (paths []string) {
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func certificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, filepath.Join(dir, "server", "cert.pem"))))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestFilesAreForThisUserOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if r := write(t, options(dir)); !slices.Equal(r.Created, below(dir, layout())) || len(r.Updated)+len(r.Unchanged) > 0 {
		t.Errorf("Write = %+v, want all created", r)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s was left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	conf := read(t, filepath.Join(dir, "server", "nats.conf"))
	for _, name := range layout() {
		if seed := read(t, filepath.Join(dir, name)); strings.HasSuffix(name, ".nk") && strings.Contains(conf, strings.TrimSpace(seed)) {
			t.Errorf("nats.conf holds the secret of %s", name)
		}
	}
}

func TestARepeatChangesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, options(dir))
	before := map[string]string{}
	for _, name := range layout() {
		before[name] = read(t, filepath.Join(dir, name))
	}
	if r := write(t, options(dir)); !slices.Equal(r.Unchanged, below(dir, layout())) || len(r.Created)+len(r.Updated) > 0 {
		t.Errorf("Write again = %+v, want all unchanged", r)
	}
	for name, text := range before {
		if read(t, filepath.Join(dir, name)) != text {
			t.Errorf("%s is another one", name)
		}
	}
}

func TestEmptyDirectoriesOfVolumesAreUsed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"server", "scanner", "admin"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if r := write(t, options(dir)); len(r.Created) != len(layout()) {
		t.Errorf("Write = %+v, want all created", r)
	}
}

// fits is nil where the server knows the key of each role, and each role trusts the
// certificate that the server shows.
func fits(dir string) error {
	shown, err := tls.LoadX509KeyPair(filepath.Join(dir, "server", "cert.pem"), filepath.Join(dir, "server", "key.pem"))
	if err != nil {
		return err
	}
	c, err := server.ProcessConfigFile(filepath.Join(dir, "server", "nats.conf"))
	if err != nil {
		return err
	}
	for _, role := range []string{"scanner", "copier", "agent", "viewer", "admin", "system"} {
		seed, err := os.ReadFile(filepath.Join(dir, role, "user.nk"))
		if err != nil {
			return err
		}
		user, err := nkeys.ParseDecoratedUserNKey(seed)
		if err != nil {
			return err
		}
		public, err := user.PublicKey()
		if err != nil || !slices.ContainsFunc(c.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == public }) {
			return fmt.Errorf("the server does not know %s: %w", role, err)
		}
		ca, err := os.ReadFile(filepath.Join(dir, role, "ca.pem"))
		if err != nil {
			return err
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(ca)
		if _, err := shown.Leaf.Verify(x509.VerifyOptions{Roots: trusted, DNSName: "nats"}); err != nil {
			return err
		}
	}
	return nil
}

// TestWhatACrashLeftOutIsMade loses each file in turn, and all that are made after
// it: as after a crash at any point.
func TestWhatACrashLeftOutIsMade(t *testing.T) {
	whole := t.TempDir()
	write(t, options(whole))
	for n, lost := range layout() {
		for _, after := range []bool{false, true} {
			if lost == "ca/key.pem" && !after {
				continue // see the next test
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			gone := layout()[n:]
			if !after {
				gone = gone[:1]
			}
			for _, name := range gone {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			r := write(t, options(dir))
			for _, name := range gone {
				if !slices.Contains(r.Created, filepath.Join(dir, name)) {
					t.Errorf("without %s: Write = %+v, want it made", lost, r)
				}
			}
			if err := fits(dir); err != nil {
				t.Errorf("without %s (and what follows: %t): %v", lost, after, err)
			}
		}
	}
}

func TestALostAuthorityIsReplacedEverywhere(t *testing.T) {
	dir := t.TempDir()
	write(t, options(dir))
	if err := os.RemoveAll(filepath.Join(dir, "ca")); err != nil {
		t.Fatal(err)
	}
	write(t, options(dir))
	if err := fits(dir); err != nil {
		t.Error(err)
	}
}

func TestTheKeyOfTheAuthorityMayBeAway(t *testing.T) {
	dir := t.TempDir()
	write(t, options(dir))
	if err := os.Remove(filepath.Join(dir, "ca", "key.pem")); err != nil {
		t.Fatal(err)
	}
	write(t, options(dir))
	o := options(dir)
	o.Hosts = []string{"other"}
	if _, err := natsserver.Write(o); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "ca", "key.pem")) {
		t.Errorf("Write for another host = %v, want that the key is missing", err)
	}
}

func TestClientsOfAnEarlierRunAreServed(t *testing.T) {
	dir := t.TempDir()
	write(t, options(dir))
	kept := t.TempDir() // as a client has them
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Hosts = []string{"nats.example.com", "10.0.0.7"}
	if r := write(t, o); !slices.Equal(r.Updated, below(dir, []string{"server/cert.pem"})) {
		t.Errorf("Write for more hosts = %+v, want only the certificate updated", r)
	}
	cert := certificate(t, dir)
	for _, h := range []string{"nats", "localhost", "127.0.0.1", "nats.example.com", "10.0.0.7"} {
		if err := cert.VerifyHostname(h); err != nil {
			t.Errorf("the certificate: %v", err)
		}
	}
	s := &site{t, dir, serve(t, dir)}
	s.dir = kept
	s.connect("copier")
}

// TestARunEachYearKeepsTheCertificatesValid passes thirty years in a bubble. A client
// whose files are of the run before can always verify the server.
func TestARunEachYearKeepsTheCertificatesValid(t *testing.T) {
	for step, most := range map[time.Duration]int{100 * day: 26, 365 * day: 15} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			write(t, options(dir))
			renewed := 0
			for begin := time.Now(); time.Since(begin) < 30*365*day; {
				trusted := x509.NewCertPool()
				trusted.AppendCertsFromPEM([]byte(read(t, filepath.Join(dir, "agent", "ca.pem"))))
				time.Sleep(step)
				for range 2 { // before the run and after it
					if _, err := certificate(t, dir).Verify(x509.VerifyOptions{Roots: trusted, DNSName: "nats", CurrentTime: time.Now()}); err != nil {
						t.Fatalf("every %v, after %v: %v", step, time.Since(begin), err)
					}
					if r := write(t, options(dir)); slices.Contains(r.Updated, filepath.Join(dir, "server", "cert.pem")) {
						renewed++
					}
				}
			}
			if renewed == 0 || renewed > most {
				t.Errorf("every %v: renewed %d times, want at most %d", step, renewed, most)
			}
		})
	}
}

func TestTwoRunsAtOnceAgree(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := natsserver.Write(options(dir)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := &site{t, dir, serve(t, dir)}
	s.connect("copier") // however their certificates were mixed
	if r := write(t, options(dir)); len(r.Created) > 0 || slices.Contains(r.Updated, filepath.Join(dir, "server", "nats.conf")) {
		t.Errorf("Write afterwards = %+v, want all there, and the same users", r)
	}
}

func TestWhatIsNotOursIsRefused(t *testing.T) {
	for what, change := range map[string]func(*natsserver.Options){
		"another prefix": func(o *natsserver.Options) { o.Prefix = "other" },
		"another route":  func(o *natsserver.Options) { o.Route = "other" },
		"a file by hand": func(o *natsserver.Options) {
			if err := os.WriteFile(filepath.Join(o.Dir, "server", "nats.conf"), []byte("port: 4222\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := options(t.TempDir())
		write(t, o)
		change(&o)
		before := read(t, filepath.Join(o.Dir, "server", "nats.conf"))
		_, err := natsserver.Write(o)
		if err == nil || !strings.Contains(err.Error(), "another directory") || read(t, filepath.Join(o.Dir, "server", "nats.conf")) != before {
			t.Errorf("%s: Write = %v, want a refusal that changes nothing", what, err)
		}
	}
}

func TestDamagedSecretsAreNamedAndLeftAlone(t *testing.T) {
	for _, name := range []string{"copier/user.nk", "server/key.pem", "ca/key.pem"} {
		dir := t.TempDir()
		write(t, options(dir))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := natsserver.Write(options(dir))
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") || read(t, path) != "damaged" {
			t.Errorf("%s: Write = %v, want its name and a remedy", name, err)
		}
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for what, change := range map[string]func(*natsserver.Options){
		"a port":               func(o *natsserver.Options) { o.Hosts = []string{"nats:4222"} },
		"an URL":               func(o *natsserver.Options) { o.Hosts = []string{"nats://nats"} },
		"an empty host":        func(o *natsserver.Options) { o.Hosts = []string{""} },
		"no host":              func(o *natsserver.Options) { o.Hosts = nil },
		"a cluster of two":     func(o *natsserver.Options) { o.Cluster = []string{"a", "b"} },
		"one server twice":     func(o *natsserver.Options) { o.Cluster = []string{"a", "b", "a"} },
		"a pattern of servers": func(o *natsserver.Options) { o.Cluster = []string{"a", "b", "*.c"} },
		"a route with a port":  func(o *natsserver.Options) { o.Cluster = []string{"a", "b", "c:6222"} },
		"a relative directory": func(o *natsserver.Options) { o.StoreDir = "data" },
	} {
		o := options(filepath.Join(t.TempDir(), "new"))
		change(&o)
		if _, err := natsserver.Write(o); err == nil {
			t.Errorf("%s is accepted", what)
		}
		if _, err := os.Stat(o.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was written", what)
		}
	}
	for _, h := range []string{"a", "nats_1", "*.nats.svc", "nats-0.nats.svc.cluster.local", "::1"} {
		o := options(t.TempDir())
		o.Hosts = []string{h}
		write(t, o)
		if cert := certificate(t, o.Dir); len(cert.DNSNames)+len(cert.IPAddresses) != 1 {
			t.Errorf("%s: the certificate is for %q and %v", h, cert.DNSNames, cert.IPAddresses)
		}
	}
}

func TestNobodyComesInWithoutTLS(t *testing.T) {
	s := newSite(t, options(t.TempDir()))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "tls://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":true}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		answer = append(answer, buffer[:n]...)
		if err != nil {
			break
		}
	}
	if text := string(answer); !strings.HasPrefix(text, "INFO ") || strings.Contains(text, "+OK") || strings.Contains(text, "PONG") {
		t.Errorf("without TLS the server answers %q", text)
	}
	o := s.options("copier")
	o.CA = ""
	if _, err := s.try(o); messages.ClassOf(err) != messages.Queue || !strings.Contains(err.Error(), "x509") {
		t.Errorf("without the CA: Connect = %v, want that the certificate is unknown", err)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	s := newSite(t, options(t.TempDir()))
	o := s.options("copier")
	o.NKeyFile = ""
	if _, err := s.try(o); messages.ClassOf(err) != messages.Unauthenticated {
		t.Errorf("without a key: Connect = %v, want unauthenticated", err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	o.NKeyFile = filepath.Join(t.TempDir(), "user.nk")
	if err := os.WriteFile(o.NKeyFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.try(o); messages.ClassOf(err) != messages.Unauthenticated {
		t.Errorf("with an unknown key: Connect = %v, want unauthenticated", err)
	}
}

func TestTheServerIsSafeByItsConfiguration(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), `with "quotes" and $HOME`))
	write(t, o)
	own := filepath.Join(o.Dir, "server", "own.conf")
	if err := os.WriteFile(own, []byte("include nats.conf\nmax_payload: 2MB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := server.ProcessConfigFile(own)
	if err != nil {
		t.Fatal(err)
	}
	if !c.SyncAlways || c.TLSConfig == nil || c.HTTPHost != "127.0.0.1" || c.HTTPPort != 8222 || c.Port != 4222 ||
		c.StoreDir != "/data" || c.ServerName != "focus-nats" || c.MaxPayload != 2<<20 || c.SystemAccount != "SYS" || c.NoAuthUser != "" {
		t.Errorf("the options are %+v", c)
	}
	unlimited := 0
	for _, user := range c.Nkeys {
		if user.Permissions == nil {
			unlimited++
		}
	}
	if len(c.Nkeys) != 6 || unlimited != 2 {
		t.Errorf("%d users, %d of them without limits, want 6 and 2: admin and system", len(c.Nkeys), unlimited)
	}
}

// The table may say everything only of admin.
func TestNoGrantIsTooWide(t *testing.T) {
	for _, r := range nats.Roles("focus", "main") {
		for _, g := range slices.Concat(r.Publish, r.Subscribe) {
			for _, s := range g.Subjects {
				if strings.HasPrefix(s, "*") || strings.HasPrefix(s, ">") || s == "$JS.>" || s == "$JS.API.>" || s == "$KV.>" || s == "" {
					t.Errorf("%s: %s: %q", r.Name, g.For, s)
				}
			}
		}
	}
}

func TestTheRightsOfThisVersionReplaceOlderOnes(t *testing.T) {
	dir := t.TempDir()
	write(t, options(dir))
	path := filepath.Join(dir, "server", "nats.conf")
	now := read(t, path)
	older := strings.Replace(now, `"focus.dead.*.*"`, `"focus.dead.older"`, 1)
	if err := os.WriteFile(path, []byte(older), 0o600); err != nil || older == now {
		t.Fatal(err)
	}
	if r := write(t, options(dir)); !slices.Equal(r.Updated, []string{path}) || read(t, path) != now {
		t.Errorf("Write = %+v, want nats.conf as of this version", r)
	}
}
