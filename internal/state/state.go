// Package state holds the forms in which the ledger leaves an installation and
// comes back: the state.json of the Python agent, version 1.0; a full export as
// JSON lines; and the note by which an installation knows that it had a ledger.
//
// Readers guess nothing that could lose a file: what they cannot read for sure
// they name. Files are written whole or not at all, readable only for their owner.
package state

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// WriteFile replaces the file path by what write writes. A crash leaves the old
// file or the new one, and perhaps a file that ends in .new beside it.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(f.Chmod(0o600), write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
