package simulator

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The limits of Amazon S3.
const (
	maxPut  = 5 << 30 // bytes in one PutObject or part
	minPart = 5 << 20 // bytes in a part that is not the last
	maxPart = 10_000  // highest part number
)

// S3Options describe an S3 server with one bucket.
type S3Options struct {
	Bucket string               // default "umbrella"
	Region string               // default us-east-1
	Keys   map[string]AccessKey // by access key id
	Owner  string               // account of the bucket, for x-amz-expected-bucket-owner; default 111122223333
	Dir    string               // keep bytes in files here; empty keeps them in memory
	MaxPut int64                // default 5 GiB; a test may lower it
	Clock  func() time.Time     // default time.Now
	Faults *Faults              // default none
	// Ignores are headers of requests that this store does not know, as some
	// look-alikes do not: Content-MD5, for instance. They are signed all the same.
	Ignores []string

	// Hollow: of all bytes only their number and their CRC32C are kept, and what a
	// request says of them is verified, all but MD5; for load. No content can be read.
	Hollow bool
	// KnownMD5 is what Hollow takes the MD5 of bytes from, in hex; empty: not known.
	KnownMD5 func(size int64, crc32c string) string
}

// AccessKey is a secret and what it allows.
type AccessKey struct {
	Secret string
	Policy Policy // default AllowAll
}

// S3 is an Amazon S3 with the operations that writing to a bucket and looking
// at it need. It checks what S3 checks before anything becomes visible, and
// records everything that does.
type S3 struct {
	S3Options
	count counter
	store store

	mu       sync.Mutex
	objects  map[string]*ObjectInfo
	uploads  map[string]*upload
	history  []Commit
	versions map[string]int // commits per key
	nextID   int            // of the last upload
}

// NewS3 returns the handler. It fails only when Dir cannot be used.
func NewS3(opts S3Options) (*S3, error) {
	if opts.Bucket == "" {
		opts.Bucket = "umbrella"
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.Owner == "" {
		opts.Owner = "111122223333"
	}
	if opts.MaxPut == 0 {
		opts.MaxPut = maxPut
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Faults == nil {
		opts.Faults = NewFaults(0)
	}
	store, err := newStore(opts)
	if err != nil {
		return nil, err
	}
	return &S3{
		S3Options: opts, store: store,
		objects: map[string]*ObjectInfo{}, uploads: map[string]*upload{}, versions: map[string]int{},
	}, nil
}

// Requests is how many requests came in, per operation.
func (s *S3) Requests() map[string]int { return s.count.snapshot() }

// s3Target is what a request is about.
type s3Target struct {
	op     string
	bucket string
	key    string
	query  url.Values
}

// ServeHTTP implements http.Handler.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.RequestURI, adminPath) {
		s.serveAdmin(w, r)
		return
	}
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("x-amz-request-id", fmt.Sprintf("SIMULATED%07d", s.count.add("")))
	w.Header().Set("x-amz-id-2", "simulated")
	t := s.parse(r)
	s.count.add(t.op)
	c := call{op: t.op, name: t.key, fail: failS3}
	s.Faults.serve(c, w, r, func(w http.ResponseWriter, r *http.Request) {
		if err := s.handle(w, r, t); err != nil {
			err.write(w, r)
		}
	})
}

// parse reads bucket and key from the path as it was sent, so that keys may
// hold anything, or the bucket from the host in virtual-hosted style.
func (s *S3) parse(r *http.Request) s3Target {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	path = strings.TrimPrefix(path, "/")
	t := s3Target{}
	t.query, _ = url.ParseQuery(r.URL.RawQuery)
	if s.virtualHosted(r.Host) {
		t.bucket, t.key = s.Bucket, unescape(path)
	} else {
		bucket, key, _ := strings.Cut(path, "/")
		t.bucket, t.key = unescape(bucket), unescape(key)
	}
	t.op = operation(r, t)
	return t
}

func (s *S3) virtualHosted(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.HasPrefix(host, s.Bucket+".")
}

func operation(r *http.Request, t s3Target) string {
	if t.key == "" {
		return bucketOperation(r, t.query)
	}
	switch method, q := r.Method, t.query; {
	case q.Has("acl") || q.Has("tagging") || q.Has("attributes") || q.Has("retention") || q.Has("legal-hold"):
		return "Unsupported"
	case method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case method == http.MethodGet:
		return "GetObject"
	case method == http.MethodHead:
		return "HeadObject"
	case method == http.MethodPut && r.Header.Get("x-amz-copy-source") != "":
		return "Unsupported"
	case method == http.MethodPut && q.Has("uploadId"):
		return "UploadPart"
	case method == http.MethodPut:
		return "PutObject"
	case method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case method == http.MethodDelete:
		return "DeleteObject"
	}
	return "Unsupported"
}

func bucketOperation(r *http.Request, q url.Values) string {
	switch {
	case r.Method == http.MethodHead:
		return "HeadBucket"
	case r.Method != http.MethodGet:
		return "Unsupported"
	case q.Has("location"):
		return "GetBucketLocation"
	case q.Has("uploads"):
		return "ListMultipartUploads"
	case q.Get("list-type") == "2":
		return "ListObjectsV2"
	}
	return "Unsupported"
}

// s3Request is an authenticated request in the hands of an operation.
type s3Request struct {
	*http.Request
	s3Target
	id *identity
}

func (s *S3) handle(w http.ResponseWriter, r *http.Request, t s3Target) *s3Error {
	id, err := s.authenticate(r)
	switch {
	case err != nil:
		return err
	case t.op == "Unsupported":
		return errNotImplemented()
	case !id.allows(t.op):
		return errAccessDenied()
	case t.bucket != s.Bucket:
		return errNoSuchBucket()
	}
	for _, name := range s.Ignores {
		r.Header.Del(name)
	}
	if owner := r.Header.Get("x-amz-expected-bucket-owner"); owner != "" && owner != s.Owner {
		return errAccessDenied()
	}
	if len(t.key) > 1024 {
		return &s3Error{status: http.StatusBadRequest, code: "KeyTooLongError", message: "Your key is too long"}
	}
	return s.operate(w, &s3Request{Request: r, s3Target: t, id: id})
}

func (s *S3) operate(w http.ResponseWriter, r *s3Request) *s3Error {
	switch r.op {
	case "PutObject":
		return s.putObject(w, r)
	case "GetObject", "HeadObject":
		return s.getObject(w, r)
	case "DeleteObject":
		return s.deleteObject(w, r)
	case "CreateMultipartUpload":
		return s.createUpload(w, r)
	case "UploadPart":
		return s.uploadPart(w, r)
	case "CompleteMultipartUpload":
		return s.completeUpload(w, r)
	case "AbortMultipartUpload":
		return s.abortUpload(w, r)
	case "ListParts":
		return s.listParts(w, r)
	case "ListMultipartUploads":
		return s.listUploads(w)
	case "ListObjectsV2":
		return s.listObjects(w, r)
	case "GetBucketLocation":
		return s.bucketLocation(w)
	}
	w.Header().Set("x-amz-bucket-region", s.Region) // HeadBucket
	return nil
}
