package natsserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"oracle-focus-agent/internal/nats"
)

// A folder writes files below dir, each at once or not at all, for this user only.
type folder struct {
	dir    string
	report nats.Report
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// read returns nil where there is no such file.
func (f *folder) read(name string) ([]byte, error) {
	data, err := os.ReadFile(f.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// secret returns what the file holds, and makes it first where it does not exist.
// Of two that make it at once, one wins and both return the same.
func (f *folder) secret(name string, make func() ([]byte, error)) ([]byte, error) {
	data, err := f.read(name)
	if err != nil {
		return nil, err
	}
	if data != nil {
		f.report.Unchanged = append(f.report.Unchanged, f.path(name))
		return data, nil
	}
	if data, err = make(); err != nil {
		return nil, err
	}
	err = f.write(name, data, func(temporary, path string) error {
		err := os.Link(temporary, path) // other than a rename it replaces nothing
		return errors.Join(err, os.Remove(temporary))
	})
	if errors.Is(err, os.ErrExist) {
		return f.secret(name, make)
	}
	if err != nil {
		return nil, err
	}
	f.report.Created = append(f.report.Created, f.path(name))
	return data, nil
}

// put makes the file hold data.
func (f *folder) put(name string, data []byte) error {
	has, err := f.read(name)
	if err != nil {
		return err
	}
	if has != nil && bytes.Equal(has, data) {
		f.report.Unchanged = append(f.report.Unchanged, f.path(name))
		return nil
	}
	if err := f.write(name, data, os.Rename); err != nil {
		return err
	}
	if done := &f.report.Created; has == nil {
		*done = append(*done, f.path(name))
	} else {
		f.report.Updated = append(f.report.Updated, f.path(name))
	}
	return nil
}

// write brings data to the disk and then, by place, to its name.
func (f *folder) write(name string, data []byte, place func(temporary, path string) error) error {
	path := f.path(name)
	err := writeFile(path, data, place)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("write %s: %w; the directory must be one that this user (uid %d) can write", path, err, os.Getuid())
	}
	return err
}

func writeFile(path string, data []byte, place func(temporary, path string) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := place(file.Name(), path); err != nil {
		_ = os.Remove(file.Name()) // may be gone
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// broken is about a file that is there and not what it should be.
func (f *folder) broken(name string, err error) error {
	return fmt.Errorf("read %s: %w; put the right file back, or remove it to have a new one made", f.path(name), err)
}
