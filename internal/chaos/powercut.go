package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A disk is a file system of its own, whose power can be cut: what the system has not
// written to it by then is lost. It is ext4 on a loop device that writes past the cache of
// the host, so that its image is at each moment what a disk would hold. It needs root.
type disk struct {
	image, mount, device string
}

func newDisk(dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "disk")}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(256<<20), f.Close(), os.Mkdir(d.mount, 0o700)); err != nil {
		return nil, err
	}
	if _, err := command("mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, err
	}
	return d, d.attach()
}

func (d *disk) attach() (err error) {
	if d.device, err = command("losetup", "--direct-io=on", "--find", "--show", d.image); err != nil {
		return err
	}
	_, err = command("mount", d.device, d.mount)
	return err
}

// keep copies what the disk holds now. Whoever writes must stand still.
func (d *disk) keep() error {
	_, err := command("cp", "--sparse=always", d.image, d.image+".cut")
	return err
}

// restore makes the disk what it was when it was kept. Nobody may use it.
func (d *disk) restore() error {
	if err := d.detach(); err != nil {
		return err
	}
	if err := os.Rename(d.image+".cut", d.image); err != nil {
		return err
	}
	return d.attach()
}

func (d *disk) detach() error {
	_, err := command("umount", d.mount)
	if d.device != "" {
		_, e := command("losetup", "--detach", d.device)
		err, d.device = errors.Join(err, e), ""
	}
	return err
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// CutPower adds one or two power cuts of the NATS server's host to a plan.
func (p *Plan) CutPower() {
	rng := rand.New(rand.NewPCG(p.Seed, 7))
	for range 1 + rng.IntN(2) {
		p.faults = append(p.faults, fault{
			at:     time.Duration((0.1 + 0.8*rng.Float64()) * float64(p.Duration)),
			lasts:  time.Duration(rng.IntN(1000)) * time.Millisecond,
			hazard: hazard{Name: "cut power", begin: (*nemesis).cutPower}, seed: rng.Uint64(),
		})
	}
	p.powerCuts = true
}

// cutPower kills the server, and gives it back what was on its disk at that moment.
func (n *nemesis) cutPower(f fault) func() {
	if err := n.w.cutPower(); err != nil {
		n.w.History.note(Event{Kind: Fault, Text: err.Error()})
		return nil
	}
	n.hit(f)
	return n.startServer
}

func (w *World) cutPower() error {
	w.serving.Lock()
	defer w.serving.Unlock()
	w.server.freeze(true)
	w.History.note(Event{Kind: Fault, Text: "the power of nats-server is cut"})
	kept := w.disk.keep()
	w.server.kill()
	return errors.Join(kept, w.disk.restore())
}
