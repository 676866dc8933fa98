package scale

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
)

// A cluster is three servers on one disk, each of which answers only for what the disk has.
type cluster struct {
	dir   string
	nodes []*node
}

// A node is one server as a process, which keeps its ports and its files over restarts.
type node struct {
	name, url, config, log string
	cmd                    *exec.Cmd
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir()}
	ports := natstest.FreePorts(t, 6)
	var routes []string
	for _, port := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range 3 {
		n := &node{name: fmt.Sprint("n", i+1), url: fmt.Sprintf("nats://127.0.0.1:%d", ports[i])}
		n.config, n.log = filepath.Join(c.dir, n.name+".conf"), filepath.Join(c.dir, n.name+".log")
		text := fmt.Sprintf(`server_name: %s
listen: "127.0.0.1:%d"
jetstream { store_dir: %q, sync_interval: always, max_file_store: 64G, max_memory_store: 64M }
cluster { name: scale, listen: "127.0.0.1:%d", routes: [ %s ] }
`, n.name, ports[i], filepath.Join(c.dir, n.name), ports[3+i], strings.Join(routes, ", "))
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n.start(t)
		t.Cleanup(n.kill)
		c.nodes = append(c.nodes, n)
	}
	return c
}

func (n *node) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd = exec.Command(self)
	n.cmd.Env = append(os.Environ(), "SCALE_NODE="+n.config)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill is SIGKILL, and returns when the process is gone. Repeating it is harmless.
func (n *node) kill() {
	if n.cmd != nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
		n.cmd = nil
	}
}

// connect returns when the cluster has a leader and takes connections.
func (c *cluster) connect(t testing.TB, name string) *nats.Conn {
	t.Helper()
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := nats.Connect(ctx, nats.Options{URLs: urls, Name: name})
		if err == nil {
			t.Cleanup(conn.Close)
			return conn
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// named is the server of this name; nil where there is none.
func (c *cluster) named(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// usage is what the three servers take: the resident memory of the largest, and the files
// of one of them, in bytes, and the processor time of all since their starts.
func (c *cluster) usage() (rss, disk int64, cpu time.Duration) {
	for _, n := range c.nodes {
		if n.cmd == nil {
			continue
		}
		r, p := ofProcess(n.cmd.Process.Pid)
		rss, cpu = max(rss, r), cpu+p
	}
	filepath.WalkDir(filepath.Join(c.dir, c.nodes[0].name), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				disk += info.Size()
			}
		}
		return nil
	})
	return rss, disk, cpu
}

// ofProcess reads /proc; it is 0 where there is none.
func ofProcess(pid int) (rss int64, cpu time.Duration) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from field 3 of proc(5) on
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(f[i-3]), 10, 64)
		return n
	}
	const tick = 10 * time.Millisecond
	return number(24) * int64(os.Getpagesize()), time.Duration(number(14)+number(15)) * tick
}
