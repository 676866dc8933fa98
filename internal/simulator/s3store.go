package simulator

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// store keeps bytes. What S3 shows of them is the business of S3.
type store interface {
	// stage begins bytes that nobody can see yet.
	stage() (staged, error)
	// commit makes staged bytes the content of key, in one step; the staging
	// is used up. Readers of the old content keep reading that.
	commit(key string, s staged) error
	open(key string) (io.ReadSeekCloser, error)
	remove(key string) error
}

// staged is bytes on their way into a store.
type staged interface {
	io.Writer
	close() error // ends writing
	open() (io.ReadCloser, error)
	discard()
}

func newStore(o S3Options) (store, error) {
	switch {
	case o.Hollow:
		return hollowStore{}, nil
	case o.Dir == "":
		return newMemoryStore(o.Bucket)
	}
	return newDirStore(o.Dir)
}

// memoryStore keeps objects in gofakes3's memory backend.
type memoryStore struct {
	bucket  string
	backend gofakes3.Backend
}

func newMemoryStore(bucket string) (*memoryStore, error) {
	m := &memoryStore{bucket: bucket, backend: s3mem.New()}
	if err := m.backend.CreateBucket(bucket); err != nil {
		return nil, fmt.Errorf("create bucket %s in memory: %w", bucket, err)
	}
	return m, nil
}

func (m *memoryStore) stage() (staged, error) { return &buffer{}, nil }

func (m *memoryStore) commit(key string, s staged) error {
	b := s.(*buffer)
	_, err := m.backend.PutObject(m.bucket, key, map[string]string{}, bytes.NewReader(b.Bytes()), int64(b.Len()), nil)
	return err
}

func (m *memoryStore) open(key string) (io.ReadSeekCloser, error) {
	o, err := m.backend.GetObject(m.bucket, key, nil)
	if err != nil {
		return nil, err
	}
	defer o.Contents.Close()
	data, err := io.ReadAll(o.Contents)
	return nopCloser{bytes.NewReader(data)}, err
}

func (m *memoryStore) remove(key string) error {
	_, err := m.backend.DeleteObject(m.bucket, key)
	return err
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

type buffer struct{ bytes.Buffer }

func (b *buffer) close() error                 { return nil }
func (b *buffer) discard()                     {}
func (b *buffer) open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }

// dirStore keeps each object in one file of objects/, named after its key, and
// what is not visible yet in staging/. gofakes3's own file backend would write
// an object in place, where a reader sees it half done.
type dirStore struct {
	objects string
	staging string
}

func newDirStore(dir string) (*dirStore, error) {
	d := &dirStore{objects: filepath.Join(dir, "objects"), staging: filepath.Join(dir, "staging")}
	for _, path := range []string{d.objects, d.staging} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("make directory for the simulated s3: %w", err)
		}
	}
	return d, nil
}

func (d *dirStore) stage() (staged, error) {
	f, err := os.CreateTemp(d.staging, "")
	if err != nil {
		return nil, fmt.Errorf("stage an upload: %w", err)
	}
	return &stagedFile{f}, nil
}

func (d *dirStore) commit(key string, s staged) error {
	return os.Rename(s.(*stagedFile).Name(), d.path(key))
}

func (d *dirStore) open(key string) (io.ReadSeekCloser, error) { return os.Open(d.path(key)) }
func (d *dirStore) remove(key string) error                    { return os.Remove(d.path(key)) }

// path is readable for a human, and one to one: a key that is too long for a
// file name is shortened to its hash and its end. "." and ".." are escaped.
func (d *dirStore) path(key string) string {
	name := url.PathEscape(key)
	if name == "." || name == ".." {
		name = "%2E" + name[1:]
	}
	if len(name) > 200 {
		name = fmt.Sprintf("%x-%s", sha256.Sum256([]byte(key)), name[len(name)-100:])
	}
	return filepath.Join(d.objects, name)
}

type stagedFile struct{ *os.File }

func (f *stagedFile) close() error                 { return f.Close() }
func (f *stagedFile) open() (io.ReadCloser, error) { return os.Open(f.Name()) }

func (f *stagedFile) discard() {
	f.Close()
	os.Remove(f.Name())
}
