package chaos_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
)

// programs are built once for all tests: the product and nats-server, as they are
// shipped. CHAOS_PROGRAM and CHAOS_SERVER name others.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = workshop(); err != nil {
		return "", err
	}
	for name, pkg := range map[string]string{"oracle-focus-agent": "oracle-focus-agent/cmd/oracle-focus-agent", "nats-server": "github.com/nats-io/nats-server/v2"} {
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return "", &exec.Error{Name: pkg + ": " + string(out), Err: err}
		}
	}
	return dir, nil
})

func program(t testing.TB, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func options(t testing.TB) chaos.Options {
	t.Helper()
	return chaos.Options{
		Seed: 1, Dir: t.TempDir(), AckWait: time.Second,
		Program: program(t, "CHAOS_PROGRAM", "oracle-focus-agent"), Server: program(t, "CHAOS_SERVER", "nats-server"),
	}
}

func TestAWorldWithoutFaultsIsRight(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*chaos.Options){
		"several processes": func(*chaos.Options) {},
		"one process":       func(o *chaos.Options) { o.Embedded = true },
		"keys that may put": func(o *chaos.Options) { o.PutOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			change(&o)
			w, err := chaos.NewWorld(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			for i := range 10 {
				w.AddReport(i, 100+i, int64(i*1000))
			}
			v := w.AddReport(1, 500, 2*chaos.PartSize+3)
			if err := w.Settle(t.Context()); err != nil {
				t.Error(err)
			}
			for _, v := range w.Check() {
				t.Error(v)
			}
			if n := len(w.Sim.S3.History()); n != 11 {
				t.Errorf("%d commits, want 11\n%s", n, w.Timeline(v.Name))
			}
		})
	}
}
