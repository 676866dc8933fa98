// Package natsserver writes what a self-hosted nats-server needs to serve this
// program: its configuration, a certificate, and for each role a key of its own.
//
// Everything follows from a few private keys. Those are made once, by whoever
// comes first, and never replaced; what is missing or out of date beside them is
// made again from them. So a run after a crash completes what the crash left, two
// runs at once agree, and a repeat changes nothing for clients.
package natsserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"oracle-focus-agent/internal/nats"
)

// systemRole is the user of the server's own account, for `nats server report`.
const systemRole = "system"

// Options say what to write.
type Options struct {
	// Dir gets server/{nats.conf,cert.pem,key.pem,ca.pem}, {user.nk,ca.pem} for each
	// role of [nats.Roles] and for "system", and the certificate authority in ca/.
	// Each of its directories may be a volume of its own.
	Dir string
	// Hosts are the names and addresses that clients use for the server. Those that
	// the certificate already has stay in it.
	Hosts []string
	// Cluster are the hosts of three or five servers that keep every stream together;
	// empty: one server. All of them get the same files, and each its name by the
	// variable NATS_SERVER_NAME.
	Cluster []string
	// Prefix and Route are nats.prefix and oci.name.
	Prefix, Route string
	// StoreDir is where the server is to keep its streams.
	StoreDir string
}

// Write writes what is missing or out of date, and names the files in its report.
func Write(o Options) (nats.Report, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nats.Report{}, err
	}
	o.Dir = dir
	if err := o.check(); err != nil {
		return nats.Report{}, err
	}
	f := &folder{dir: dir}
	err = f.writeAll(o)
	return f.report, err
}

func (o Options) check() error {
	if len(o.Hosts) == 0 {
		return errors.New("name the host that clients reach the server at")
	}
	for _, h := range slices.Concat(o.Hosts, o.Cluster) {
		if err := checkHost(h); err != nil {
			return err
		}
	}
	if n := len(o.Cluster); n != 0 && n != 3 && n != 5 || slices.ContainsFunc(o.Cluster, isWildcard) || repeats(o.Cluster) {
		return fmt.Errorf("a cluster of %q cannot agree; name the three or five hosts of its servers, each once", o.Cluster)
	}
	if !filepath.IsAbs(o.StoreDir) {
		return fmt.Errorf("the server needs an absolute directory to keep its streams in, not %q", o.StoreDir)
	}
	return o.checkForeign(filepath.Join(o.Dir, "server", "nats.conf"))
}

func isWildcard(host string) bool { return strings.HasPrefix(host, "*") }

func repeats(hosts []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(hosts)))) != len(hosts)
}

// checkForeign refuses to replace a configuration that was written by hand, or for
// other assets, whose clients it would lock out.
func (o Options) checkForeign(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if want := o.title(); first != want {
		return fmt.Errorf("%s would be replaced by one for other clients: it begins with %q, and not with %q; use another directory, or remove the file", path, first, want)
	}
	return nil
}

func (f *folder) writeAll(o Options) error {
	ca, err := f.authority(o.Prefix)
	if err != nil {
		return err
	}
	users := map[string]string{}
	for _, name := range roleNames(o) {
		if users[name], err = f.user(name); err != nil {
			return err
		}
		if err := f.put(filepath.Join(name, "ca.pem"), ca.pem); err != nil {
			return err
		}
	}
	if err := f.put("server/ca.pem", ca.pem); err != nil {
		return err
	}
	if err := f.certificate(ca, o.Hosts, o.Cluster); err != nil {
		return err
	}
	return f.put("server/nats.conf", o.configuration(users))
}

func roleNames(o Options) (names []string) {
	for _, r := range nats.Roles(o.Prefix, o.Route) {
		names = append(names, r.Name)
	}
	return append(names, systemRole)
}

// user makes the key of a role, where it has none, and returns the public half:
// the server never learns the other.
func (f *folder) user(name string) (string, error) {
	path := filepath.Join(name, "user.nk")
	seed, err := f.secret(path, func() ([]byte, error) {
		user, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		seed, err := user.Seed()
		return append(seed, '\n'), err
	})
	if err != nil {
		return "", err
	}
	user, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return "", f.broken(path, err)
	}
	return user.PublicKey()
}
