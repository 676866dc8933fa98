package simulator

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ObjectInfo is a visible object.
type ObjectInfo struct {
	Key          string            `json:"key"`
	Version      int               `json:"version"` // 1 for the first commit of the key
	Size         int64             `json:"size"`
	ETag         string            `json:"etag"`   // without quotes
	MD5          string            `json:"md5"`    // hex, of all bytes
	CRC32C       string            `json:"crc32c"` // base64, of all bytes
	Modified     time.Time         `json:"modified"`
	ContentType  string            `json:"contentType,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"` // x-amz-meta-, names in lower case
	Headers      map[string]string `json:"headers,omitempty"`  // storage class, encryption, ACL, tags, as sent
	Algorithm    string            `json:"algorithm"`          // of the checksum that S3 shows
	Checksum     string            `json:"checksum"`
	ChecksumType string            `json:"checksumType"` // FULL_OBJECT or COMPOSITE
}

// Commit is one moment in which bytes became visible.
type Commit struct {
	Time      time.Time         `json:"time"`
	Key       string            `json:"key"`
	Version   int               `json:"version"`
	Size      int64             `json:"size"`
	CRC32C    string            `json:"crc32c"` // base64, computed here over all bytes
	MD5       string            `json:"md5"`    // hex
	ETag      string            `json:"etag"`
	How       string            `json:"how"` // "put" or "complete"
	Metadata  map[string]string `json:"metadata,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"` // as those of the object
	UploadID  string            `json:"uploadId,omitempty"`
	AccessKey string            `json:"accessKey"`
}

// Upload is a multipart upload that is neither completed nor aborted.
type Upload struct {
	ID      string    `json:"id"`
	Key     string    `json:"key"`
	Started time.Time `json:"started"`
	Parts   int       `json:"parts"`
	Size    int64     `json:"size"` // of the parts
}

// History is every commit so far, in order.
func (s *S3) History() []Commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history)
}

// Objects is what is visible, in key order.
func (s *S3) Objects() []ObjectInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := make([]ObjectInfo, 0, len(s.objects))
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		objects = append(objects, *s.objects[key])
	}
	return objects
}

// OpenUploads is the uploads that someone still has to complete or abort, in
// the order they were started.
func (s *S3) OpenUploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]Upload, 0, len(s.uploads))
	for _, u := range s.uploads {
		open = append(open, u.info())
	}
	slices.SortFunc(open, func(a, b Upload) int { return strings.Compare(a.ID, b.ID) })
	return open
}

// Open reads a visible object without the HTTP interface.
func (s *S3) Open(key string) (io.ReadCloser, error) {
	_, content, err := s.look(key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return content, nil
}

// Delete removes an object behind the product's back.
func (s *S3) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		delete(s.objects, key)
		s.store.remove(key)
	}
}

// look opens an object together with its description, so that both are of the
// same version.
func (s *S3) look(key string) (ObjectInfo, io.ReadSeekCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return ObjectInfo{}, nil, errNoSuchKey(key)
	}
	content, err := s.store.open(key)
	return *o, content, err
}

// commit is the only place where bytes become visible. Under one lock it
// checks the conditions of the request, replaces the object and writes the
// history, so of sixteen writers with If-None-Match one wins.
func (s *S3) commit(r *s3Request, o *ObjectInfo, bytes staged, uploadID string) *s3Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkConditions(r); err != nil {
		return err
	}
	if err := s.store.commit(o.Key, bytes); err != nil {
		return errInternal(err)
	}
	o.Modified = s.Clock().UTC()
	s.versions[o.Key]++
	o.Version = s.versions[o.Key]
	s.objects[o.Key] = o
	how := "put"
	if uploadID != "" {
		how = "complete"
		delete(s.uploads, uploadID)
	}
	s.history = append(s.history, Commit{
		Time: o.Modified, Key: o.Key, Version: o.Version, Size: o.Size, CRC32C: o.CRC32C, MD5: o.MD5, ETag: o.ETag,
		How: how, Metadata: o.Metadata, Headers: o.Headers, UploadID: uploadID, AccessKey: r.id.accessKey,
	})
	return nil
}

func (s *S3) checkConditions(r *s3Request) *s3Error {
	present := s.objects[r.key]
	if none := r.Header.Get("If-None-Match"); none != "" {
		if none != "*" {
			return errNotImplemented()
		}
		if present != nil {
			return errPrecondition("If-None-Match")
		}
	}
	match := r.Header.Get("If-Match")
	switch {
	case match == "":
		return nil
	case !r.id.allows("GetObject"):
		return errAccessDenied()
	case present == nil:
		return errNoSuchKey(r.key)
	case match != "*" && unquote(match) != present.ETag:
		return errPrecondition("If-Match")
	}
	return nil
}

// describe takes over what the request's headers say about the object.
func describe(key string, h http.Header) *ObjectInfo {
	o := &ObjectInfo{Key: key, ContentType: shown(false, h.Get("Content-Type"), "binary/octet-stream"),
		Metadata: map[string]string{}, Headers: map[string]string{}}
	for name := range h {
		lower := strings.ToLower(name)
		if meta, ok := strings.CutPrefix(lower, "x-amz-meta-"); ok {
			o.Metadata[meta] = strings.Join(h.Values(name), ",")
		} else if keptHeader(lower) {
			o.Headers[lower] = h.Get(name)
		}
	}
	return o
}

func keptHeader(name string) bool {
	switch name {
	case "x-amz-storage-class", "x-amz-acl", "x-amz-tagging", "x-amz-expected-bucket-owner", "content-encoding", "content-disposition", "cache-control":
		return true
	}
	return strings.HasPrefix(name, "x-amz-server-side-encryption") || strings.HasPrefix(name, "x-amz-grant-")
}
