package simulator

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Object is one object to put into a Source.
type Object struct {
	Name            string
	Content         Content
	Created         time.Time // zero: now
	Modified        time.Time // zero: Created, or now for an overwrite
	ContentEncoding string
	ContentType     string
	ETag            string // empty: a new opaque one
	MD5             string // base64; empty: computed. Another value makes the bucket lie.
	CRC32C          string // base64; as MD5
	NoMD5           bool   // the bucket declares no MD5, as for multipart objects
	NoCRC32C        bool   // the bucket declares no CRC32C, as for old objects
	NoETag          bool   // the bucket shows no ETag
}

// Report is what the bucket tells about one object: the same words as in a
// listing with all fields, and the checksum of its headers.
type Report struct {
	Name            string    `json:"name"`
	Size            int64     `json:"size"`
	ETag            string    `json:"etag,omitempty"`
	MD5             string    `json:"md5,omitempty"`    // base64
	CRC32C          string    `json:"crc32c,omitempty"` // base64
	Created         time.Time `json:"created"`
	Modified        time.Time `json:"modified"`
	ContentEncoding string    `json:"contentEncoding,omitempty"`
}

// Source is the content of the OCI bucket: objects in name order, safe for
// concurrent use.
type Source struct {
	// Clock gives the times of objects added without any. Set it before use.
	Clock func() time.Time

	mu      sync.RWMutex
	added   []*entry // in name order; hides generated objects of the same name
	n       int      // generated objects
	at      func(i int) Object
	removed map[string]bool // generated objects that were removed
	version int             // of the last Add, makes ETags unique
}

// entry is an object with its place for sums. It never changes, so readers
// keep using it after an overwrite.
type entry struct {
	Object
	sums sums
}

// NewSource returns an empty bucket.
func NewSource() *Source {
	return &Source{Clock: time.Now, removed: map[string]bool{}}
}

// Add puts objects into the bucket. An existing name is overwritten: it gets a
// new ETag and a later Modified, even when the given object has the old ones.
func (s *Source) Add(objects ...Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		i, found := s.search(o.Name)
		var old *entry
		if found {
			old = s.added[i]
		} else if g, ok := s.generated(o.Name); ok {
			old = g
		}
		e := &entry{Object: s.stamp(o, old)}
		if found {
			s.added[i] = e
		} else {
			s.added = slices.Insert(s.added, i, e)
		}
	}
}

// Generate fills the bucket with n objects that exist only as a function: at
// must give distinct names in ascending order, and the same object for the
// same index, and is called concurrently. Listings of any size then need no
// memory.
func (s *Source) Generate(n int, at func(i int) Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.at = n, at
	clear(s.removed)
}

// Remove deletes an object; a name that is not there is no error.
func (s *Source) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := s.search(name); found {
		s.added = slices.Delete(s.added, i, i+1)
	}
	if s.n > 0 {
		s.removed[name] = true
	}
}

// Objects is a snapshot of the bucket in name order.
func (s *Source) Objects() []Object {
	entries := s.from("", -1)
	objects := make([]Object, len(entries))
	for i, e := range entries {
		objects[i] = e.Object
	}
	return objects
}

// Reports is a snapshot of what the bucket declares, in name order. It
// computes the sums of all objects that do not hide theirs.
func (s *Source) Reports() []Report {
	entries := s.from("", -1)
	reports := make([]Report, len(entries))
	for i, e := range entries {
		reports[i] = e.report()
	}
	return reports
}

// Report is what the bucket declares about one object.
func (s *Source) Report(name string) (Report, bool) {
	e, ok := s.lookup(name)
	if !ok {
		return Report{}, false
	}
	return e.report(), true
}

// search finds the place of a name among the added objects.
func (s *Source) search(name string) (int, bool) {
	return slices.BinarySearchFunc(s.added, name, func(e *entry, name string) int {
		return strings.Compare(e.Name, name)
	})
}

// generated finds a generated object by name.
func (s *Source) generated(name string) (*entry, bool) {
	if s.removed[name] {
		return nil, false
	}
	i := s.searchGenerated(name)
	if i == s.n || s.at(i).Name != name {
		return nil, false
	}
	return s.entryAt(i), true
}

func (s *Source) searchGenerated(name string) int {
	return sort.Search(s.n, func(i int) bool { return s.at(i).Name >= name })
}

func (s *Source) entryAt(i int) *entry {
	o := s.at(i)
	if o.ETag == "" {
		o.ETag = opaque(o.Name, 0)
	}
	if o.Modified.IsZero() {
		o.Modified = o.Created
	}
	return &entry{Object: o}
}

func (s *Source) lookup(name string) (*entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i, found := s.search(name); found {
		return s.added[i], true
	}
	return s.generated(name)
}

// from returns up to limit entries with names at or after the given one, in
// order, in time proportional to their number. A negative limit means all.
func (s *Source) from(name string, limit int) []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var page []*entry
	a, _ := s.search(name)
	g := s.searchGenerated(name)
	for limit < 0 || len(page) < limit {
		var next *entry
		if g < s.n {
			next = s.entryAt(g)
		}
		switch {
		case a < len(s.added) && (next == nil || s.added[a].Name <= next.Name):
			if next != nil && s.added[a].Name == next.Name {
				g++
			}
			page = append(page, s.added[a])
			a++
		case next == nil:
			return page
		default:
			g++
			if !s.removed[next.Name] {
				page = append(page, next)
			}
		}
	}
	return page
}

// stamp completes an object that is about to replace old, which may be nil.
func (s *Source) stamp(o Object, old *entry) Object {
	s.version++
	now := s.Clock().UTC()
	if o.Created.IsZero() {
		o.Created = now
	}
	if o.Modified.IsZero() {
		o.Modified = o.Created
	}
	if old != nil && !o.Modified.After(old.Modified) {
		o.Modified = later(now, old.Modified.Add(time.Millisecond))
	}
	if o.ETag == "" || old != nil && o.ETag == old.ETag {
		o.ETag = opaque(o.Name, s.version)
	}
	return o
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// opaque makes an ETag as OCI's are: UUID-like, new with each write, and in no
// relation to the content.
func opaque(name string, version int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d/%s", version, name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func (e *entry) report() Report {
	r := Report{
		Name: e.Name, Size: e.Content.Size(), Created: e.Created, Modified: e.Modified,
		ContentEncoding: e.ContentEncoding,
	}
	r.MD5, r.CRC32C = e.declared()
	if !e.NoETag {
		r.ETag = e.ETag
	}
	return r
}

// declared is the MD5 and the CRC32C that the bucket shows, empty where hidden.
func (e *entry) declared() (md5, crc32c string) {
	wantMD5 := !e.NoMD5 && e.MD5 == ""
	wantCRC := !e.NoCRC32C && e.CRC32C == ""
	if wantMD5 || wantCRC {
		md5, crc32c = e.sums.of(e.Content, wantMD5, wantCRC)
	}
	return shown(e.NoMD5, e.MD5, md5), shown(e.NoCRC32C, e.CRC32C, crc32c)
}

func shown(hidden bool, given, computed string) string {
	switch {
	case hidden:
		return ""
	case given != "":
		return given
	}
	return computed
}
