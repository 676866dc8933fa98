package simulator

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// s3Time is the form of times in S3's documents.
const s3Time = "2006-01-02T15:04:05.000Z"

// listResult is the answer to ListObjectsV2.
type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []commonPrefix
}

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type commonPrefix struct{ Prefix string }

func (s *S3) listObjects(w http.ResponseWriter, r *s3Request) *s3Error {
	q := r.query
	limit, err := strconv.Atoi(shown(false, q.Get("max-keys"), "1000"))
	if err != nil || limit < 0 {
		return errInvalid("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		text, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return errInvalid("InvalidArgument", "The continuation token provided is incorrect")
		}
		after = string(text)
	}
	result := &listResult{Name: s.Bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), StartAfter: q.Get("start-after"),
		EncodingType: q.Get("encoding-type"), MaxKeys: min(limit, maxPage), ContinuationToken: q.Get("continuation-token")}
	result.fill(s.Objects(), after)
	return writeXML(w, result)
}

// fill puts one page of the objects after a key into the result.
func (l *listResult) fill(objects []ObjectInfo, after string) {
	last := after
	for _, o := range objects {
		if o.Key <= after || !strings.HasPrefix(o.Key, l.Prefix) || l.Delimiter != "" && after != "" &&
			strings.HasSuffix(after, l.Delimiter) && strings.HasPrefix(o.Key, after) {
			continue
		}
		folder, inFolder := l.folder(o.Key)
		if inFolder && folder == last {
			continue
		}
		if l.KeyCount == l.MaxKeys {
			l.IsTruncated = l.MaxKeys > 0
			l.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(last))
			return
		}
		l.KeyCount++
		if inFolder {
			last = folder
			l.CommonPrefixes = append(l.CommonPrefixes, commonPrefix{l.encode(folder)})
			continue
		}
		last = o.Key
		l.Contents = append(l.Contents, listedObject{Key: l.encode(o.Key), LastModified: o.Modified.Format(s3Time),
			ETag: quote(o.ETag), Size: o.Size, StorageClass: shown(false, o.Headers["x-amz-storage-class"], "STANDARD")})
	}
}

func (l *listResult) folder(key string) (string, bool) {
	if l.Delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(l.Prefix):], l.Delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(l.Prefix)+i+len(l.Delimiter)], true
}

func (l *listResult) encode(key string) string {
	if l.EncodingType == "url" {
		return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
	}
	return key
}

type listedUpload struct {
	Key       string
	UploadId  string
	Initiated string
}

func (s *S3) listUploads(w http.ResponseWriter) *s3Error {
	result := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Bucket      string
		IsTruncated bool
		Upload      []listedUpload
	}{Bucket: s.Bucket}
	for _, u := range s.OpenUploads() {
		result.Upload = append(result.Upload, listedUpload{u.Key, u.ID, u.Started.Format(s3Time)})
	}
	return writeXML(w, result)
}

type listedPart struct {
	PartNumber     int
	LastModified   string
	ETag           string
	Size           int64
	ChecksumCRC32C string `xml:",omitempty"`
}

// listParts shows all parts in one page.
func (s *S3) listParts(w http.ResponseWriter, r *s3Request) *s3Error {
	u, err := s.upload(r)
	if err != nil {
		return err
	}
	result := struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
		Bucket      string
		Key         string
		UploadId    string
		IsTruncated bool
		Part        []listedPart
	}{Bucket: s.Bucket, Key: u.key, UploadId: u.id}
	s.mu.Lock()
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		p := u.parts[number]
		l := listedPart{PartNumber: number, LastModified: p.modified.Format(s3Time), ETag: quote(etagFor(u.header, p.etag())), Size: p.size}
		if p.algorithm == "CRC32C" {
			l.ChecksumCRC32C = p.checksum
		}
		result.Part = append(result.Part, l)
	}
	s.mu.Unlock()
	return writeXML(w, result)
}

func (s *S3) bucketLocation(w http.ResponseWriter) *s3Error {
	region := s.Region
	if region == "us-east-1" {
		region = "" // as S3 has it since before there were regions
	}
	return writeXML(w, struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: region})
}

// serveAdmin answers GET of /_simulator/history, uploads, objects and
// requests, the last also as /_simulator/.
func (s *S3) serveAdmin(w http.ResponseWriter, r *http.Request) {
	if !fromLoopback(r) {
		http.Error(w, "only from this machine", http.StatusForbidden)
		return
	}
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, adminPath) {
	case "GET history":
		writeJSON(w, append([]Commit{}, s.History()...))
	case "GET uploads":
		writeJSON(w, s.OpenUploads())
	case "GET objects":
		writeJSON(w, s.Objects())
	case "GET ", "GET requests":
		writeJSON(w, map[string]any{"requests": s.Requests(), "faults": s.Faults.Count(), "time": s.Clock().UTC().Format(time.RFC3339)})
	default:
		http.NotFound(w, r)
	}
}
