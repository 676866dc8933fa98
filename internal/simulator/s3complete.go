package simulator

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// completion is the body of CompleteMultipartUpload.
type completion struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

type completedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// sums is the listed checksums by algorithm, empty where none is listed.
func (c completedPart) sums() map[string]string {
	return map[string]string{"CRC32": c.ChecksumCRC32, "CRC32C": c.ChecksumCRC32C, "CRC64NVME": c.ChecksumCRC64NVME,
		"SHA1": c.ChecksumSHA1, "SHA256": c.ChecksumSHA256}
}

// completeUpload verifies the list of parts, assembles them out of sight,
// verifies the whole against what the request says of it, and commits.
func (s *S3) completeUpload(w http.ResponseWriter, r *s3Request) *s3Error {
	wanted, err := s.readCompletion(r)
	if err != nil {
		return err
	}
	u, err := s.upload(r)
	if err != nil {
		return err
	}
	u.completing.Lock()
	defer u.completing.Unlock()
	parts, err := s.chooseParts(u, wanted)
	if err != nil {
		return err
	}
	o, whole, err := s.assemble(u, parts)
	if err != nil {
		return err
	}
	err = u.verify(r, o)
	if err == nil {
		err = s.commit(r, o, whole, u.id)
	}
	if err != nil {
		whole.discard()
		return err
	}
	u.discard()
	return s.answerCompletion(w, o)
}

func (s *S3) readCompletion(r *s3Request) (*completion, *s3Error) {
	body, err := r.open(1 << 20)
	if err != nil {
		return nil, err
	}
	data, readErr := io.ReadAll(body)
	if readErr != nil {
		return nil, asS3Error(readErr)
	}
	var c completion
	if xml.Unmarshal(data, &c) != nil || len(c.Parts) == 0 || len(c.Parts) > maxPart {
		return nil, errInvalid("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	return &c, nil
}

// chooseParts finds the parts of a completion and checks S3's rules for them.
func (s *S3) chooseParts(u *upload, wanted *completion) ([]*part, *s3Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[u.id] != u {
		return nil, errNoSuchUpload()
	}
	var parts []*part
	for i, w := range wanted.Parts {
		if i > 0 && w.PartNumber <= wanted.Parts[i-1].PartNumber {
			return nil, errInvalid("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
		p, err := u.choose(w)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	for _, p := range parts[:len(parts)-1] {
		if p.size < minPart {
			e := errInvalid("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
			return nil, e.with("ProposedSize", strconv.FormatInt(p.size, 10)).with("MinSizeAllowed", strconv.Itoa(minPart)).
				with("PartNumber", strconv.Itoa(p.number)).with("ETag", p.etag())
		}
	}
	return parts, nil
}

// choose finds one part. S3.mu is held.
func (u *upload) choose(w completedPart) (*part, *s3Error) {
	p := u.parts[w.PartNumber]
	sums := w.sums()
	if p == nil || unquote(w.ETag) != etagFor(u.header, p.etag()) || !p.agrees(sums) {
		e := errInvalid("InvalidPart", "One or more of the specified parts could not be found. "+
			"The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
		return nil, e.with("UploadId", u.id).with("PartNumber", strconv.Itoa(w.PartNumber)).with("ETag", unquote(w.ETag))
	}
	if u.algorithm != "" && u.kind == "COMPOSITE" && sums[u.algorithm] == "" {
		return nil, errInvalid("InvalidRequest", fmt.Sprintf("The upload was created using a %s checksum. The complete request must "+
			"include the checksum for each part. It was missing for part %d in the request.", strings.ToLower(u.algorithm), w.PartNumber))
	}
	return p, nil
}

// agrees tells whether the checksums that a completion lists for a part are
// those the part has.
func (p *part) agrees(sums map[string]string) bool {
	for algorithm, sum := range sums {
		switch {
		case sum == "":
		case algorithm == p.algorithm && sum == p.checksum:
		case algorithm == "CRC32C" && sum == p.crc32c:
		default:
			return false
		}
	}
	return true
}

// assemble copies the parts into one staging and describes the result. The
// sums are computed over the assembled bytes, not derived from the parts'.
func (s *S3) assemble(u *upload, parts []*part) (*ObjectInfo, staged, *s3Error) {
	whole, err := s.store.stage()
	if err != nil {
		return nil, nil, errInternal(err)
	}
	o := describe(u.key, u.header)
	o.Algorithm, o.ChecksumType = shown(false, u.algorithm, "CRC64NVME"), u.kind
	if s.Hollow {
		s.combine(u, o, parts)
		return o, whole, nil
	}
	d := newDigests(o.Algorithm)
	for _, p := range parts {
		o.Size += p.size
		if err := p.copyTo(io.MultiWriter(whole, d.writer())); err != nil {
			whole.discard()
			return nil, nil, errInternal(err)
		}
	}
	if err := whole.close(); err != nil {
		whole.discard()
		return nil, nil, errInternal(err)
	}
	o.ETag, o.MD5, o.CRC32C = etagFor(u.header, multipartETag(parts)), hex.EncodeToString(d.md5.Sum(nil)), base64Sum(d.crc32c)
	o.Checksum = base64Sum(d.chosen)
	if u.kind == "COMPOSITE" {
		o.Checksum = composite(o.Algorithm, parts)
	}
	return o, whole, nil
}

func (p *part) copyTo(w io.Writer) error {
	r, err := p.staged.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, 256<<10))
	return err
}

// onlyReader hides WriteTo, so that the copy uses our buffer.
type onlyReader struct{ io.Reader }

// composite is the checksum of the parts' checksums and their number.
func composite(algorithm string, parts []*part) string {
	h := newHash(algorithm)
	for _, p := range parts {
		sum, _ := base64.StdEncoding.DecodeString(p.checksum)
		h.Write(sum)
	}
	return fmt.Sprintf("%s-%d", base64Sum(h), len(parts))
}

// verify compares the assembled object with what the completion says of it.
func (u *upload) verify(r *s3Request, o *ObjectInfo) *s3Error {
	if size := r.Header.Get("x-amz-mp-object-size"); size != "" && size != strconv.FormatInt(o.Size, 10) {
		return errInvalid("InvalidRequest", fmt.Sprintf("The provided 'x-amz-mp-object-size' header value %s does not match what was computed: %d", size, o.Size))
	}
	if kind := r.Header.Get("x-amz-checksum-type"); kind != "" && !strings.EqualFold(kind, u.kind) {
		return errInvalid("InvalidRequest", fmt.Sprintf("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", u.kind))
	}
	for _, algorithm := range algorithms() {
		want := r.Header.Get(checksumHeader(algorithm))
		switch {
		case want == "":
		case algorithm != o.Algorithm:
			return errInvalid("InvalidRequest", fmt.Sprintf("The upload was created using the %s checksum; the complete request has %s.", o.Algorithm, algorithm))
		case want != o.Checksum:
			return errInvalid("BadDigest", fmt.Sprintf("The %s you specified did not match the calculated checksum.", algorithm))
		}
	}
	return nil
}

func (s *S3) answerCompletion(w http.ResponseWriter, o *ObjectInfo) *s3Error {
	o.writeEncryption(w.Header())
	sum := func(algorithm string) string {
		if algorithm == o.Algorithm {
			return o.Checksum
		}
		return ""
	}
	return writeXML(w, struct {
		XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
		Location          string
		Bucket            string
		Key               string
		ETag              string
		ChecksumCRC32     string `xml:",omitempty"`
		ChecksumCRC32C    string `xml:",omitempty"`
		ChecksumCRC64NVME string `xml:",omitempty"`
		ChecksumSHA1      string `xml:",omitempty"`
		ChecksumSHA256    string `xml:",omitempty"`
		ChecksumType      string
	}{
		Location: "/" + s.Bucket + "/" + o.Key, Bucket: s.Bucket, Key: o.Key, ETag: quote(o.ETag), ChecksumType: o.ChecksumType,
		ChecksumCRC32: sum("CRC32"), ChecksumCRC32C: sum("CRC32C"), ChecksumCRC64NVME: sum("CRC64NVME"),
		ChecksumSHA1: sum("SHA1"), ChecksumSHA256: sum("SHA256"),
	})
}
