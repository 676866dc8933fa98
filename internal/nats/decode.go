package nats

import (
	"strconv"
	"time"

	"oracle-focus-agent/messages"
)

// A recordReader reads records in the very form that Encode gives them, with a third of the
// allocations of the general decoder (BenchmarkRecord), and leaves it to that to judge every
// other one: a scan of a million files reads a million records. It is for one goroutine.
type recordReader struct {
	words map[string]string // what many records have in common
	value []byte
	at    int
	alien bool // it is not in that form
}

// maxWords bounds what is kept of other records.
const maxWords = 256

func newRecordReader() *recordReader { return &recordReader{words: map[string]string{}} }

// read is messages.DecodeRecord.
func (d *recordReader) read(value []byte) (messages.Record, error) {
	if r, ok := d.usual(value); ok {
		return r, nil
	}
	return messages.DecodeRecord(value)
}

// usual reads a record in the usual form.
func (d *recordReader) usual(value []byte) (messages.Record, bool) {
	if len(value) > messages.MaxSize {
		return messages.Record{}, false
	}
	d.value, d.at, d.alien = value, 0, false
	r := d.record()
	return r, !d.alien && d.at == len(value)
}

func (d *recordReader) record() (r messages.Record) {
	d.must(`{"schema":1,"status":`)
	r.Schema, r.Status = 1, messages.Status(d.word())
	d.must(`,"epoch":`)
	r.Epoch = int(d.number())
	d.must(`,"object":`)
	r.Object = d.object()
	if d.has(`,"copy":`) {
		r.Copy = d.copied()
	}
	d.must(`,"generation":`)
	r.Generation = int(d.number())
	r.Repeat = d.has(`,"repeat":true`)
	if d.has(`,"attempts":`) {
		r.Attempts = int(d.number())
	}
	if d.has(`,"mismatches":`) {
		r.Mismatches = int(d.number())
	}
	r.FirstFailed = d.optionalTime(`,"first_failed":`)
	if d.has(`,"class":`) {
		r.Class = messages.Class(d.word())
	}
	r.Error = d.optionalText(`,"error":`)
	if d.has(`,"worker":`) {
		r.Worker = d.word()
	}
	r.Trace = d.optionalText(`,"trace":`)
	r.TraceID = d.optionalText(`,"trace_id":`)
	d.must(`,"at":`)
	r.At = d.time()
	d.must(`}`)
	return r
}

func (d *recordReader) object() (o messages.Object) {
	d.must(`{"name":`)
	o.Name = d.text()
	o.ETag = d.optionalText(`,"etag":`)
	d.must(`,"size":`)
	o.Size = d.number()
	o.MD5 = d.optionalText(`,"md5":`)
	o.CRC32C = d.optionalText(`,"crc32c":`)
	o.Created = d.optionalTime(`,"created":`)
	o.Modified = d.optionalTime(`,"modified":`)
	d.must(`}`)
	return o
}

func (d *recordReader) copied() *messages.FileCopied {
	var c messages.FileCopied
	d.must(`{"key":`)
	c.Key = d.text()
	d.must(`,"etag":`)
	c.ETag = d.text()
	d.must(`,"size":`)
	c.Size = d.number()
	d.must(`,"crc32c":`)
	c.CRC32C = d.text()
	c.MD5 = d.optionalText(`,"md5":`)
	d.must(`,"verified":`)
	c.Verified = d.word()
	d.must(`,"how":`)
	c.How = d.word()
	d.must(`,"at":`)
	c.At = d.time()
	d.must(`,"seconds":`)
	c.Seconds = d.decimal()
	if d.has(`,"statistics":`) {
		c.Statistics = d.statistics()
	}
	d.must(`}`) // what was replaced is rare
	return &c
}

func (d *recordReader) statistics() *messages.Statistics {
	var s messages.Statistics
	d.must(`{`)
	if d.has(`"gzip":`) {
		s.Gzip = d.word()
		d.must(`,`)
	}
	if d.has(`"members":`) {
		s.Members = int(d.number())
		d.must(`,`)
	}
	if d.has(`"bytes":`) {
		s.Bytes = d.number()
		d.must(`,`)
	}
	d.must(`"rows":`)
	s.Rows = d.number()
	if d.has(`,"corrections":`) {
		s.Corrections = d.number()
	}
	if d.has(`,"sums":[`) {
		s.Sums = d.sums()
	}
	s.First = d.optionalTime(`,"first":`)
	s.Last = d.optionalTime(`,"last":`)
	if d.has(`,"accounts":`) {
		s.Accounts = int(d.number())
	}
	if d.has(`,"services":`) {
		s.Services = int(d.number())
	}
	s.Missing = d.optionalWords(`,"missing":[`)
	s.Unknown = d.optionalWords(`,"unknown":[`)
	s.Problems = d.optionalWords(`,"problems":[`)
	s.Skipped = d.optionalText(`,"skipped":`)
	d.must(`}`)
	return &s
}

func (d *recordReader) sums() (all []messages.Sum) {
	for more := true; more && !d.alien; more = d.has(`,`) {
		var s messages.Sum
		d.must(`{"period":`)
		s.Period = d.word()
		d.must(`,"currency":`)
		s.Currency = d.word()
		d.must(`,"billed":`)
		s.Billed = d.text()
		d.must(`,"effective":`)
		s.Effective = d.text()
		d.must(`}`)
		all = append(all, s)
	}
	d.must(`]`)
	return all
}

// has goes behind s where that is what comes next.
func (d *recordReader) has(s string) bool {
	if rest := d.value[d.at:]; len(rest) < len(s) || string(rest[:len(s)]) != s {
		return false
	}
	d.at += len(s)
	return true
}

func (d *recordReader) must(s string) {
	if !d.has(s) {
		d.alien = true
	}
}

// quoted is the inside of a string of printable ASCII; escaped says that a backslash
// stands before each quote and each backslash in it.
func (d *recordReader) quoted() (inside []byte, escaped bool) {
	d.must(`"`)
	for i := d.at; i < len(d.value); i++ {
		switch c := d.value[i]; {
		case c == '"':
			inside, d.at = d.value[d.at:i], i+1
			return inside, escaped
		case c == '\\':
			escaped = true
			if i++; i == len(d.value) || d.value[i] != '"' && d.value[i] != '\\' {
				d.alien = true
				return nil, false
			}
		case c < ' ', c >= 0x7f:
			d.alien = true
			return nil, false
		}
	}
	d.alien = true
	return nil, false
}

func (d *recordReader) text() string {
	inside, escaped := d.quoted()
	if !escaped {
		return string(inside)
	}
	out := make([]byte, 0, len(inside))
	for i := 0; i < len(inside); i++ {
		if inside[i] == '\\' {
			i++
		}
		out = append(out, inside[i])
	}
	return string(out)
}

// word is a text that other records have, too, and that is kept once.
func (d *recordReader) word() string {
	inside, escaped := d.quoted()
	if escaped {
		d.alien = true
		return ""
	}
	if w, ok := d.words[string(inside)]; ok {
		return w
	}
	w := string(inside)
	if len(d.words) < maxWords {
		d.words[w] = w
	}
	return w
}

func (d *recordReader) optionalText(key string) string {
	if !d.has(key) {
		return ""
	}
	return d.text()
}

func (d *recordReader) optionalWords(key string) (all []string) {
	if !d.has(key) {
		return nil
	}
	for more := true; more && !d.alien; more = d.has(`,`) {
		all = append(all, d.word())
	}
	d.must(`]`)
	return all
}

func (d *recordReader) optionalTime(key string) time.Time {
	if !d.has(key) {
		return time.Time{}
	}
	return d.time()
}

func (d *recordReader) time() (t time.Time) {
	inside, escaped := d.quoted()
	if d.alien || escaped || t.UnmarshalText(inside) != nil {
		d.alien = true
	}
	return t
}

// digits is a whole number that is not negative, as JSON writes it: 0, or without a 0 before it.
func (d *recordReader) digits() []byte {
	from := d.at
	for d.at < len(d.value) && d.value[d.at] >= '0' && d.value[d.at] <= '9' {
		d.at++
	}
	digits := d.value[from:d.at]
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		d.alien = true
	}
	return digits
}

func (d *recordReader) number() (n int64) {
	digits := d.digits()
	if len(digits) > 18 {
		d.alien = true
		return 0
	}
	for _, c := range digits {
		n = 10*n + int64(c-'0')
	}
	return n
}

// decimal is a number with or without a fraction, and without an exponent.
func (d *recordReader) decimal() float64 {
	from := d.at
	d.digits()
	if d.has(".") {
		fraction := d.at
		for d.at < len(d.value) && d.value[d.at] >= '0' && d.value[d.at] <= '9' {
			d.at++
		}
		d.alien = d.alien || d.at == fraction
	}
	f, err := strconv.ParseFloat(string(d.value[from:d.at]), 64)
	d.alien = d.alien || err != nil
	return f
}
