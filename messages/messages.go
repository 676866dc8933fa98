// Package messages is the contract between the scanner, the copiers and
// whoever reads the queue or the ledger: what a message and a record contain,
// how they are named, and how the assets that hold them are defined.
//
// Everything here outlives a process. Golden files hold the exact bytes;
// fields are only ever added, a newer schema is refused with ErrNewer and never
// guessed at, and unknown fields of the same schema are ignored, so that two
// neighbouring versions of the program read each other.
package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Schema is the version of every message and record written by this program.
const Schema = 1

// MaxSize bounds an encoded message or record, in bytes. The stream and the
// bucket enforce the same limit.
const MaxSize = 64 << 10

// An Object is one version of a source file, as the listing declares it.
type Object struct {
	Name string `json:"name"`
	// ETag identifies the version. It is opaque; empty where the source has none.
	ETag string `json:"etag,omitempty"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// MD5 and CRC32C are what the source declares, in base64 of the big-endian
	// sum; empty where it declares none. Listings never carry CRC32C.
	MD5      string    `json:"md5,omitempty"`
	CRC32C   string    `json:"crc32c,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Modified time.Time `json:"modified,omitzero"`
}

// SameVersion reports whether o and p are the same version of one file: equal
// etags, or, where either has none, equal size and equal times as far as both
// know them. Without an etag and without a common time nothing is the same.
func (o Object) SameVersion(p Object) bool {
	if o.Name != p.Name {
		return false
	}
	if o.ETag != "" && p.ETag != "" {
		return o.ETag == p.ETag
	}
	created := !o.Created.IsZero() && !p.Created.IsZero()
	modified := !o.Modified.IsZero() && !p.Modified.IsZero()
	return o.Size == p.Size && (created || modified) &&
		(!created || o.Created.Equal(p.Created)) &&
		(!modified || o.Modified.Equal(p.Modified))
}

// SameBytes reports whether a checksum that both carry proves that o and p hold
// the same bytes, whatever their etags.
func (o Object) SameBytes(p Object) bool {
	if o.Size != p.Size {
		return false
	}
	if o.CRC32C != "" && p.CRC32C != "" {
		return o.CRC32C == p.CRC32C
	}
	return o.MD5 != "" && o.MD5 == p.MD5
}

// Version names the version of o for a Msg-Id and for logs.
func (o Object) Version() string {
	if o.ETag != "" {
		return o.ETag
	}
	t := o.Modified
	if t.IsZero() {
		t = o.Created
	}
	return fmt.Sprintf("%d-%d", o.Size, t.UnixNano())
}

// FileDiscovered is the message in the queue. It is a hint, "look at this
// object", never an order to copy this version; and it carries no bucket, no
// endpoint and no key: the copier takes those from its own configuration.
type FileDiscovered struct {
	Schema int    `json:"schema"`
	Route  string `json:"route"`
	Object Object `json:"object"`
	// Generation is that of the ledger record that the scanner saw; a repeat is
	// ordered there, by raising it.
	Generation int `json:"generation"`
	// Epoch is that of the scanner's identity. A copier of an older one writes to
	// a destination that was given up, and leaves the message alone.
	Epoch      int       `json:"epoch,omitempty"`
	Discovered time.Time `json:"discovered"`
	// Scan correlates the log lines of one scan, Trace those of one file.
	Scan  string `json:"scan,omitempty"`
	Trace string `json:"trace,omitempty"`
}

// Encode returns the JSON form of m.
func (m FileDiscovered) Encode() ([]byte, error) {
	m.Schema = Schema
	return encode("message", m)
}

// DecodeDiscovered reads what Encode wrote. Its errors are Refused, or ErrNewer
// for a schema that this version does not know.
func DecodeDiscovered(b []byte) (FileDiscovered, error) {
	var m FileDiscovered
	if err := decode("message", b, &m); err != nil {
		return FileDiscovered{}, err
	}
	if err := CheckName("route", m.Route); err != nil {
		return FileDiscovered{}, refused("message", err)
	}
	if m.Object.Name == "" || m.Object.Size < 0 || m.Generation < 0 {
		return FileDiscovered{}, refused("message", errors.New("it needs an object name, a size and a generation that are not negative"))
	}
	return m, nil
}

// A Status is what the ledger says of a file.
type Status string

// The first four are final for the version they name; due and retrying are not.
const (
	StatusCopied    Status = "copied"
	StatusGone      Status = "gone"      // the source no longer has it
	StatusFailed    Status = "failed"    // in the dead letters
	StatusDiscarded Status = "discarded" // an operator gave it up
	StatusDue       Status = "due"       // a repeat was ordered
	StatusRetrying  Status = "retrying"  // at least one attempt failed
)

// Final reports whether nothing more is to be done for the recorded version.
func (s Status) Final() bool {
	return s == StatusCopied || s == StatusGone || s == StatusFailed || s == StatusDiscarded
}

// How a copy came to be at the destination.
const (
	HowCopied   = "copied"   // its bytes were sent
	HowAdopted  = "adopted"  // the same bytes were found at the destination
	HowRecorded = "recorded" // the same bytes had been sent under another etag
	HowImported = "imported" // the Python agent's state.json says that it sent this version
	HowPresumed = "presumed" // older than what the Python agent remembers, and so taken as sent by it
)

// The rungs of the checksum ladder, best first.
const (
	ByCRC32C = "crc32c" // the source's CRC32C of the whole object
	ByMD5    = "md5"    // the source's MD5
	BySize   = "size"   // the source declares no sum; our own CRC32C went to S3
)

// FileCopied says how the bytes of one version came to the destination.
type FileCopied struct {
	Key    string `json:"key"`
	ETag   string `json:"etag"`
	Size   int64  `json:"size"`
	CRC32C string `json:"crc32c"`
	MD5    string `json:"md5,omitempty"`
	// Verified is the rung of the ladder that proved the bytes before the commit;
	// empty where this program has not seen them.
	Verified string    `json:"verified"`
	How      string    `json:"how"`
	At       time.Time `json:"at"`
	// Seconds is the duration of the attempt that succeeded, without what it waited for
	// another file to be written.
	Seconds float64 `json:"seconds"`
	// Statistics are of the content, where it was looked at.
	Statistics *Statistics `json:"statistics,omitempty"`
	// Replaced is the version with other bytes that stood there before, if any.
	Replaced *Earlier `json:"replaced,omitempty"`
}

// A Record is what the ledger holds of one file: the state of the product.
type Record struct {
	Schema int    `json:"schema"`
	Status Status `json:"status"`
	// Epoch is that of the identity under which the record was written; a record
	// of an older epoch speaks of a destination that was given up.
	Epoch  int    `json:"epoch"`
	Object Object `json:"object"`
	// Copy is present once a version has been copied, and kept while a newer
	// version is still due or retrying.
	Copy       *FileCopied `json:"copy,omitempty"`
	Generation int         `json:"generation"`
	// Repeat is set while a repeat was ordered and has failed: as with due, what
	// stands at the destination is not good enough.
	Repeat   bool `json:"repeat,omitempty"`
	Attempts int  `json:"attempts,omitempty"`
	// Mismatches counts the attempts whose bytes had another checksum than declared.
	Mismatches  int       `json:"mismatches,omitempty"`
	FirstFailed time.Time `json:"first_failed,omitzero"`
	Class       Class     `json:"class,omitempty"`
	Error       string    `json:"error,omitempty"`
	Worker      string    `json:"worker,omitempty"`
	Trace       string    `json:"trace,omitempty"`
	// TraceID is that of the OpenTelemetry trace of the attempt, where one was kept.
	TraceID string    `json:"trace_id,omitempty"`
	At      time.Time `json:"at"`
}

// Done reports whether the ledger needs nothing more for version o in epoch.
func (r Record) Done(o Object, epoch int) bool {
	return r.Status.Final() && r.Epoch == epoch && r.Object.SameVersion(o)
}

// Ordered is the record by which the version o is to be copied once more, whatever stands
// at the destination of the file that r is of.
func (r Record) Ordered(o Object, epoch int, at time.Time) Record {
	return Record{Status: StatusDue, Epoch: epoch, Object: o, Copy: r.Copy, Generation: r.Generation + 1, At: at.UTC()}
}

// Inherited reports whether the file was delivered by the Python agent, and not by
// this program.
func (r Record) Inherited() bool {
	return r.Copy != nil && (r.Copy.How == HowImported || r.Copy.How == HowPresumed)
}

// Encode returns the JSON form of r.
func (r Record) Encode() ([]byte, error) {
	r.Schema = Schema
	return encode("ledger record", r)
}

// DecodeRecord reads what Encode wrote.
func DecodeRecord(b []byte) (Record, error) {
	var r Record
	if err := decode("ledger record", b, &r); err != nil {
		return Record{}, err
	}
	return r, nil
}

// An Upload is the ledger's note of a multipart upload in progress. It stands
// in the ledger before the first part is sent and is erased after the upload
// was completed or aborted, so that whoever gets the redelivery can continue it or end it.
type Upload struct {
	Schema int    `json:"schema"`
	Key    string `json:"key"`
	ID     string `json:"id"`
	ETag   string `json:"source_etag,omitempty"`
	// Size, MD5 and CRC32C are what the source declares of the version that is sent.
	Size   int64  `json:"size,omitempty"`
	MD5    string `json:"md5,omitempty"`
	CRC32C string `json:"crc32c,omitempty"`
	// Epoch is that of the identity under which the upload was begun.
	Epoch int `json:"epoch,omitempty"`
	// PartSize is in bytes.
	PartSize int64 `json:"part_size"`
	// Parts are those that stand at the destination, from the first on without a gap;
	// never the last one of the file. Later ones may stand there, too.
	Parts []UploadPart `json:"parts,omitempty"`
	// Sums are of the bytes of Parts, so that what follows can be summed up from there.
	Sums *PrefixSums `json:"sums,omitempty"`
	// Abandoned lists earlier uploads of the same key that could not be aborted.
	Abandoned []string  `json:"abandoned,omitempty"`
	Worker    string    `json:"worker,omitempty"`
	Started   time.Time `json:"started"`
	// Updated is when Parts or Worker last changed.
	Updated time.Time `json:"updated,omitzero"`
}

// An UploadPart is one part as the destination confirmed it.
type UploadPart struct {
	ETag   string `json:"etag"`
	CRC32C string `json:"crc32c"` // base64
}

// PrefixSums are the states of the sums that verify a file, somewhere in its middle.
type PrefixSums struct {
	CRC32C string `json:"crc32c"` // base64, of the bytes so far
	// MD5 is the state as encoding.BinaryMarshaler gives it; empty where the checksum
	// that the source declares needs none.
	MD5 []byte `json:"md5,omitempty"`
}

// Last is when something was last heard of the upload.
func (u Upload) Last() time.Time {
	if u.Updated.After(u.Started) {
		return u.Updated
	}
	return u.Started
}

// Encode returns the JSON form of u.
func (u Upload) Encode() ([]byte, error) {
	u.Schema = Schema
	return encode("upload record", u)
}

// DecodeUpload reads what Encode wrote.
func DecodeUpload(b []byte) (Upload, error) {
	var u Upload
	if err := decode("upload record", b, &u); err != nil {
		return Upload{}, err
	}
	return u, nil
}

// Marks is how far the scanner has come. It moves only forward, and only after
// a complete listing whose every file was published or found done.
type Marks struct {
	Schema int `json:"schema"`
	Epoch  int `json:"epoch"`
	// Since is the first report day that this installation is responsible for.
	Since Day `json:"since"`
	// Scanned is when the last complete scan began, Swept the last complete sweep.
	Scanned time.Time `json:"scanned,omitzero"`
	Swept   time.Time `json:"swept,omitzero"`
	// Ranges are days before Since for which a backfill made this installation
	// responsible too; in order, without overlap.
	Ranges []Range `json:"ranges,omitempty"`
}

// Encode returns the JSON form of m.
func (m Marks) Encode() ([]byte, error) {
	m.Schema = Schema
	return encode("scan marks", m)
}

// DecodeMarks reads what Encode wrote.
func DecodeMarks(b []byte) (Marks, error) {
	var m Marks
	if err := decode("scan marks", b, &m); err != nil {
		return Marks{}, err
	}
	if m.Since != "" && !m.Since.Valid() {
		return Marks{}, refused("scan marks", fmt.Errorf("%q is not a day", m.Since))
	}
	if err := checkRanges(m.Ranges); err != nil {
		return Marks{}, refused("scan marks", err)
	}
	return m, nil
}

// An Identity says which source and which destination the ledger speaks of.
type Identity struct {
	Schema    int    `json:"schema"`
	Namespace string `json:"namespace"`
	Bucket    string `json:"bucket"`
	Prefix    string `json:"prefix"`
	S3Bucket  string `json:"s3_bucket"`
	S3Prefix  string `json:"s3_prefix"`
	Template  string `json:"template"`
	// Epoch grows when an operator accepts a new destination.
	Epoch int `json:"epoch"`
	// Created is the ledger's birth.
	Created time.Time `json:"created"`
}

// Encode returns the JSON form of i.
func (i Identity) Encode() ([]byte, error) {
	i.Schema = Schema
	return encode("identity", i)
}

// DecodeIdentity reads what Encode wrote.
func DecodeIdentity(b []byte) (Identity, error) {
	var i Identity
	if err := decode("identity", b, &i); err != nil {
		return Identity{}, err
	}
	return i, nil
}

// A Difference is one field in which two identities differ.
type Difference struct{ Field, Old, New string }

// Differences lists the fields in which the route that i describes differs from
// that of j, in the order of the configuration. Epoch and birth do not count.
func (i Identity) Differences(j Identity) []Difference {
	all := []Difference{
		{"oci.namespace", i.Namespace, j.Namespace},
		{"oci.bucket", i.Bucket, j.Bucket},
		{"oci.prefix", i.Prefix, j.Prefix},
		{"s3.bucket_path (bucket)", i.S3Bucket, j.S3Bucket},
		{"s3.bucket_path (path)", i.S3Prefix, j.S3Prefix},
		{"naming.template", i.Template, j.Template},
	}
	var out []Difference
	for _, d := range all {
		if d.Old != d.New {
			out = append(out, d)
		}
	}
	return out
}

// A DeadLetter is the history of one file that was given up.
type DeadLetter struct {
	Schema int    `json:"schema"`
	Route  string `json:"route"`
	Name   string `json:"name,omitempty"`
	Object Object `json:"object,omitzero"`
	Class  Class  `json:"class"`
	Error  string `json:"error"`
	// Subject and Message are those of the delivery, the latter cut to 4 KiB.
	Subject  string    `json:"subject"`
	Message  string    `json:"message"`
	Attempts int       `json:"attempts"`
	Worker   string    `json:"worker,omitempty"`
	At       time.Time `json:"at"`
}

// Encode returns the JSON form of d.
func (d DeadLetter) Encode() ([]byte, error) {
	d.Schema = Schema
	return encode("dead letter", d)
}

// DecodeDeadLetter reads what Encode wrote.
func DecodeDeadLetter(b []byte) (DeadLetter, error) {
	var d DeadLetter
	if err := decode("dead letter", b, &d); err != nil {
		return DeadLetter{}, err
	}
	return d, nil
}

// ErrNewer means that a newer version of the program wrote the bytes: they are
// left for it, never interpreted.
var ErrNewer = errors.New("written by a newer version; upgrade this program")

func refused(what string, err error) error {
	return &Fault{Class: Refused, Op: "decode " + what, Err: err}
}

func encode(what string, v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if buf.Len() > MaxSize {
		return nil, &Fault{Class: Refused, Op: "encode " + what, Err: fmt.Errorf("%d bytes are more than the limit of %d", buf.Len(), MaxSize)}
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func decode(what string, b []byte, v any) error {
	if len(b) > MaxSize {
		return refused(what, fmt.Errorf("%d bytes are more than the limit of %d", len(b), MaxSize))
	}
	var head struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return refused(what, err)
	}
	switch {
	case head.Schema > Schema:
		return fmt.Errorf("decode %s: schema %d: %w", what, head.Schema, ErrNewer)
	case head.Schema < 1:
		return refused(what, fmt.Errorf("schema %d is unknown", head.Schema))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(v); err != nil {
		return refused(what, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return refused(what, errors.New("something follows the JSON object"))
	}
	return nil
}
