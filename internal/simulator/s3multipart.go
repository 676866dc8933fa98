package simulator

import (
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// upload is a multipart upload in progress.
type upload struct {
	id        string
	key       string
	started   time.Time
	header    http.Header // of CreateMultipartUpload
	algorithm string      // "" when the client named none
	kind      string      // FULL_OBJECT or COMPOSITE

	completing sync.Mutex // held by the one request that completes or aborts

	parts map[int]*part // guarded by S3.mu
}

// part is an uploaded part.
type part struct {
	*received
	number   int
	modified time.Time
}

func (u *upload) info() Upload {
	info := Upload{ID: u.id, Key: u.key, Started: u.started, Parts: len(u.parts)}
	for _, p := range u.parts {
		info.Size += p.size
	}
	return info
}

func newMD5() hash.Hash { return md5.New() }

func (s *S3) createUpload(w http.ResponseWriter, r *s3Request) *s3Error {
	if err := checkOptions(r); err != nil {
		return err
	}
	algorithm, kind, err := checksumOfUpload(r.Header)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.nextID++
	u := &upload{
		id: fmt.Sprintf("simulated-upload-%08d", s.nextID), key: r.key, started: s.Clock().UTC(),
		header: r.Header.Clone(), algorithm: algorithm, kind: kind, parts: map[int]*part{},
	}
	s.uploads[u.id] = u
	s.mu.Unlock()
	if algorithm != "" {
		w.Header().Set("x-amz-checksum-algorithm", algorithm)
		w.Header().Set("x-amz-checksum-type", kind)
	}
	return writeXML(w, struct {
		XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadId string
	}{Bucket: s.Bucket, Key: u.key, UploadId: u.id})
}

// checksumOfUpload reads the algorithm and the type, and refuses pairs that S3
// does not support.
func checksumOfUpload(h http.Header) (algorithm, kind string, err *s3Error) {
	algorithm = strings.ToUpper(h.Get("x-amz-checksum-algorithm"))
	kind = strings.ToUpper(h.Get("x-amz-checksum-type"))
	if algorithm == "" {
		if kind != "" {
			return "", "", errInvalid("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return "", "FULL_OBJECT", nil
	}
	if !slices.Contains(algorithms(), algorithm) {
		return "", "", errInvalid("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	}
	switch {
	case kind == "" && algorithm == "CRC64NVME":
		kind = "FULL_OBJECT"
	case kind == "":
		kind = "COMPOSITE"
	case kind == "FULL_OBJECT" && strings.HasPrefix(algorithm, "SHA"), kind == "COMPOSITE" && algorithm == "CRC64NVME":
		return "", "", errInvalid("InvalidRequest", fmt.Sprintf("The %s checksum type cannot be used with the %s checksum algorithm.", kind, strings.ToLower(algorithm)))
	}
	return algorithm, kind, nil
}

func errNoSuchUpload() *s3Error {
	return &s3Error{status: http.StatusNotFound, code: "NoSuchUpload", message: "The specified upload does not exist. " +
		"The upload ID may be invalid, or the upload may have been aborted or completed."}
}

// upload finds the upload of a request.
func (s *S3) upload(r *s3Request) (*upload, *s3Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[r.query.Get("uploadId")]
	if u == nil || u.key != r.key {
		return nil, errNoSuchUpload()
	}
	return u, nil
}

func (s *S3) uploadPart(w http.ResponseWriter, r *s3Request) *s3Error {
	number, parseErr := strconv.Atoi(r.query.Get("partNumber"))
	if parseErr != nil || number < 1 || number > maxPart {
		return errInvalid("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
	}
	u, err := s.upload(r)
	if err != nil {
		return err
	}
	if err := u.checkAlgorithm(r.Header); err != nil {
		return err
	}
	got, err := s.receive(r)
	if err != nil {
		return err
	}
	if err := s.keepPart(u, &part{received: got, number: number, modified: s.Clock().UTC()}); err != nil {
		got.staged.discard()
		return err
	}
	w.Header().Set("ETag", quote(etagFor(u.header, got.etag())))
	if c, _ := claimOf(r.Header); c.algorithm != "" {
		w.Header().Set(checksumHeader(got.algorithm), got.checksum)
	}
	return nil
}

func (u *upload) checkAlgorithm(h http.Header) *s3Error {
	c, err := claimOf(h)
	if err != nil {
		return err
	}
	if u.algorithm != "" && c.algorithm != "" && c.algorithm != u.algorithm {
		return errInvalid("InvalidRequest", fmt.Sprintf("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			strings.ToLower(u.algorithm), strings.ToLower(c.algorithm)))
	}
	return nil
}

// keepPart makes a part known, unless its upload ended while it was received.
// A part sent again replaces the first.
func (s *S3) keepPart(u *upload, p *part) *s3Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.id] != u {
		return errNoSuchUpload()
	}
	if old := u.parts[p.number]; old != nil {
		old.staged.discard()
	}
	u.parts[p.number] = p
	return nil
}

func (s *S3) abortUpload(w http.ResponseWriter, r *s3Request) *s3Error {
	u, err := s.upload(r)
	if err != nil {
		return err
	}
	u.completing.Lock()
	defer u.completing.Unlock()
	if !s.drop(u) {
		return errNoSuchUpload()
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// drop forgets an upload and its parts; false means that it was gone already.
func (s *S3) drop(u *upload) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.id] != u {
		return false
	}
	delete(s.uploads, u.id)
	u.discard()
	return true
}

func (u *upload) discard() {
	for _, p := range u.parts {
		p.staged.discard()
	}
}
