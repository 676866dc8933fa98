package simulator

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func (s *S3) putObject(w http.ResponseWriter, r *s3Request) *s3Error {
	if err := checkOptions(r); err != nil {
		return err
	}
	if err := s.checkEarly(r); err != nil {
		return err
	}
	got, err := s.receive(r)
	if err != nil {
		return err
	}
	o := describe(r.key, r.Header)
	o.Size, o.ETag, o.MD5, o.CRC32C = got.size, etagFor(r.Header, got.etag()), got.etag(), got.crc32c
	o.Algorithm, o.Checksum, o.ChecksumType = got.algorithm, got.checksum, "FULL_OBJECT"
	if err := s.commit(r, o, got.staged, ""); err != nil {
		got.staged.discard()
		return err
	}
	w.Header().Set("ETag", quote(o.ETag))
	o.writeChecksum(w.Header())
	o.writeEncryption(w.Header())
	return nil
}

// checkEarly refuses on a condition that cannot hold before reading the body;
// the commit checks again.
func (s *S3) checkEarly(r *s3Request) *s3Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkConditions(r)
}

// checkOptions refuses values that S3 does not know, and what the key may not do.
func checkOptions(r *s3Request) *s3Error {
	h := r.Header
	classes := []string{"", "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
		"GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "EXPRESS_ONEZONE"}
	if !slices.Contains(classes, h.Get("x-amz-storage-class")) {
		return errInvalid("InvalidStorageClass", "The storage class you specified is not valid")
	}
	if !slices.Contains([]string{"", "AES256", "aws:kms", "aws:kms:dsse"}, h.Get("x-amz-server-side-encryption")) {
		return errInvalid("InvalidArgument", "The encryption method specified is not supported")
	}
	acls := []string{"", "private", "bucket-owner-full-control", "bucket-owner-read", "public-read", "public-read-write", "authenticated-read", "aws-exec-read"}
	if !slices.Contains(acls, h.Get("x-amz-acl")) {
		return errInvalid("InvalidArgument", "The ACL you specified is not valid")
	}
	if h.Get("x-amz-server-side-encryption-aws-kms-key-id") != "" && !kms(h) {
		return errInvalid("InvalidArgument", "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
	}
	if err := checkTags(h.Get("x-amz-tagging")); err != nil {
		return err
	}
	return r.id.checkExtras(h)
}

// checkTags refuses what are no tags: at most ten, each key once.
func checkTags(header string) *s3Error {
	tags, err := url.ParseQuery(header)
	if err != nil {
		return errInvalid("InvalidArgument", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	if len(tags) > 10 {
		return errInvalid("BadRequest", "Object tags cannot be greater than 10")
	}
	for key, values := range tags {
		if key == "" || utf8.RuneCountInString(key) > 128 || len(values) > 1 || utf8.RuneCountInString(values[0]) > 256 {
			return errInvalid("InvalidTag", "The TagKey or the TagValue you have provided is invalid")
		}
	}
	return nil
}

// etagFor is the MD5 of the bytes, unless they are encrypted by a key of KMS:
// then it tells nothing about them.
func etagFor(h http.Header, md5 string) string {
	if !kms(h) {
		return md5
	}
	return hexSum([]byte("encrypted " + md5))[:32]
}

// getObject answers GetObject and HeadObject.
func (s *S3) getObject(w http.ResponseWriter, r *s3Request) *s3Error {
	o, content, err := s.look(r.key)
	if err != nil {
		if !r.id.allows("ListObjectsV2") {
			return errAccessDenied() // S3 does not tell who may not list
		}
		return asS3Error(err)
	}
	defer content.Close()
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && unquote(want) != o.ETag {
		return errPrecondition("If-Match")
	}
	if have := r.Header.Get("If-None-Match"); have != "" && (have == "*" || unquote(have) == o.ETag) {
		w.Header().Set("ETag", quote(o.ETag))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	part, err := parseRange(r.Header.Get("Range"), o.Size)
	if err != nil {
		return &s3Error{status: http.StatusRequestedRangeNotSatisfiable, code: "InvalidRange", message: "The requested range is not satisfiable"}
	}
	o.writeHeaders(w.Header())
	if strings.EqualFold(r.Header.Get("x-amz-checksum-mode"), "ENABLED") && !part.partial {
		o.writeChecksum(w.Header())
	}
	part.writeHeaders(w)
	if r.Method != http.MethodHead {
		if _, err := content.Seek(part.start, io.SeekStart); err == nil {
			io.CopyBuffer(onlyWriter{w}, io.LimitReader(content, part.length), make([]byte, 64<<10))
		}
	}
	return nil
}

func (o *ObjectInfo) writeHeaders(h http.Header) {
	h.Set("ETag", quote(o.ETag))
	h.Set("Content-Type", o.ContentType)
	h.Set("Last-Modified", o.Modified.Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	for name, value := range o.Metadata {
		h["x-amz-meta-"+name] = []string{value} // in lower case, as S3 sends it
	}
	for _, name := range []string{"content-encoding", "content-disposition", "cache-control"} {
		setUnlessEmpty(h, name, o.Headers[name])
	}
	if class := o.Headers["x-amz-storage-class"]; class != "STANDARD" {
		setUnlessEmpty(h, "x-amz-storage-class", class)
	}
	if tags := o.Headers["x-amz-tagging"]; tags != "" {
		h.Set("x-amz-tagging-count", strconv.Itoa(strings.Count(tags, "&")+1))
	}
	o.writeEncryption(h)
}

func (o *ObjectInfo) writeChecksum(h http.Header) {
	h.Set(checksumHeader(o.Algorithm), o.Checksum)
	h.Set("x-amz-checksum-type", o.ChecksumType)
}

// writeEncryption shows the encryption; S3 encrypts everything since 2023.
func (o *ObjectInfo) writeEncryption(h http.Header) {
	h.Set("x-amz-server-side-encryption", shown(false, o.Headers["x-amz-server-side-encryption"], "AES256"))
	const kms = "x-amz-server-side-encryption-aws-kms-key-id"
	setUnlessEmpty(h, kms, o.Headers[kms])
}

func (s *S3) deleteObject(w http.ResponseWriter, r *s3Request) *s3Error {
	s.Delete(r.key)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func quote(etag string) string { return `"` + etag + `"` }

// multipartETag is the MD5 of the parts' MD5s and their number.
func multipartETag(parts []*part) string {
	d := newMD5()
	for _, p := range parts {
		d.Write(p.md5)
	}
	return fmt.Sprintf("%s-%d", hex.EncodeToString(d.Sum(nil)), len(parts))
}
