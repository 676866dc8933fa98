package oci

import (
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/messages"
)

// liveSample bounds the report that the live test reads as a whole.
const liveSample = 8 << 20

// liveNothing is the name of an object that is not there.
const liveNothing = "oracle-focus-agent-live-test"

// LiveStep asks Oracle what no document tells. It only reads.
func (c *Client) LiveStep() live.Step {
	return live.Step{
		Name: "source", About: "lists Oracle's reports, reads one of them, and asks for Oracle's own totals",
		Questions: sourceQuestions(),
		Run:       func(ctx context.Context, n *live.Notes) { (&tour{c: c, n: n}).run(ctx) },
	}
}

func sourceQuestions() []live.Question {
	const unused, policy = "nothing: the agent does not use it", "nothing can be copied; `oracle-focus-agent test` names the policy"
	return []live.Question{
		live.Right("oci.list", "May the identity list the reports?", "scans list them", policy),
		live.Must("oci.clock", "Is the clock of this machine within five minutes of Oracle's?", "signatures are accepted", "set the clock: Oracle refuses the signatures of another"),
		live.Ask("oci.page", "Does a page of the listing hold 1000 objects?", "a scan is one request for each 1000 reports", "a scan makes more requests, from page to page as Oracle names them"),
		live.Ask("oci.list.etag", "Does the listing give an etag for each object?", "versions of a report are told apart by it", "versions are told apart by size and times"),
		live.Ask("oci.list.md5", "Does the listing give an MD5 for each object?", "a copy is held against it where Oracle declares no CRC32C", "a copy is held against what the answer to GET declares"),
		live.Ask("oci.list.times", "Does the listing give both times, created and modified?", "the latency of a delivery is counted from them", "the latency of a delivery is not known"),
		live.Ask("oci.rewritten", "Was any listed object modified after it was created?", "Oracle writes reports anew: each version is copied, or held, as integrity.changed says", "reports come as new files, and none was written anew"),
		live.Ask("oci.head", "May the identity HEAD a report?", unused, unused),
		live.Ask("oci.head.md5", "Does HEAD declare an MD5?", unused, unused),
		live.Ask("oci.head.crc32c", "Does HEAD declare a CRC32C?", unused, unused),
		live.Right("oci.get", "May the identity read a report?", "copies read them so", policy),
		live.Ask("oci.get.md5", "Does GET declare an MD5?", "a copy is held against it where Oracle declares no CRC32C", "the MD5 of the listing is used, where it has one"),
		live.Ask("oci.get.crc32c", "Does GET declare a CRC32C?", "each copy is held against it, and S3 is given the same one", "copies are verified by MD5, else by size alone, and their records say so"),
		live.Ask("oci.encoding", "Do reports carry Content-Encoding?", "the stored bytes are copied as they are; nothing unpacks them on the way", "nothing could unpack them on the way; it is guarded against all the same"),
		live.Must("oci.etag", "Is the etag of the answer the one of the listing?", "a report is read by the etag of its listing", "every copy looks at the report anew, and is tried again"),
		live.Must("oci.size", "Is the length of the answer the size of the listing?", "a copy of another length is refused", "every copy is refused for its length"),
		live.Must("oci.sums", "Are the declared checksums those of the bytes?", "a copy of other bytes is refused", "every copy is refused as damaged"),
		live.Ask("oci.gzip", "Do the bytes begin as a gzip file does?", "the statistics are counted while the bytes pass", "there are no statistics; integrity.require_valid_gzip would give the reports up"),
		live.Ask("oci.range", "Is a range of a report answered with 206?", unused, unused),
		live.Ask("oci.ifmatch", "Is another etag in If-Match refused with 412?", "a report that changed since its listing is noticed before a byte is read", "the etag of the answer is compared all the same"),
		live.Ask("oci.missing", "Does GET of an object that is not there answer 404 ObjectNotFound?", "a report counts as gone after such an answer and a listing without it", "a report that Oracle deleted looks like a missing right, and is tried again"),
		live.Ask("oci.missing.head", "Does HEAD of an object that is not there answer 404?", unused, unused),
		live.Ask("oci.tier", "Is the report in the standard tier, readable at once?", "copies need not wait", "a report must be restored before it can be copied"),
		live.Ask("oci.usage", "May the identity read Oracle's own totals?", "`report --month` can compare with them", "the comparison needs the statement of docs/oracle.md; copying does not"),
	}
}

// A tour asks the questions of the source.
type tour struct {
	c      *Client
	n      *live.Notes
	sample sample
}

// A sample is one object as the listing has it.
type sample struct {
	Name         string
	Size         *int64
	Etag         string
	MD5          string
	TimeCreated  time.Time
	TimeModified time.Time
}

func (t *tour) run(ctx context.Context) {
	t.totals(ctx)
	if !t.list(ctx) {
		return
	}
	t.head(ctx)
	t.get(ctx)
	t.conditions(ctx)
	t.missing(ctx)
}

// totals asks for the costs of the month before the last: it is closed.
func (t *tour) totals(ctx context.Context) {
	_, err := t.c.Costs(ctx, time.Now().UTC().AddDate(0, -2, 0))
	switch {
	case err == nil:
		t.n.Answer("oci.usage", live.Yes, "POST usage: 200")
	case errors.Is(err, messages.NotFound):
		t.n.Answer("oci.usage", live.No, "POST usage: refused (not-found)")
	default:
		t.n.Answer("oci.usage", live.Unknown, fmt.Sprintf("POST usage: failed (%s)", messages.ClassOf(err)))
	}
}

// list reads one page. It reports whether there is a report to look at.
func (t *tour) list(ctx context.Context) bool {
	asked := time.Now().Truncate(time.Second)
	e, body := t.c.raw(ctx, call{"GET list", http.MethodGet, "", url.Values{
		"prefix": {t.c.options.Prefix}, "limit": {strconv.Itoa(pageSize)}, "fields": {fields + ",storageTier"},
	}, nil})
	t.n.Answer("oci.list", e.Allowed(), e.String())
	t.clock(e, asked)
	var page struct {
		Objects       []sample
		NextStartWith string
	}
	if !e.OK() || json.Unmarshal(body, &page) != nil || len(page.Objects) == 0 {
		return false
	}
	t.pageSize(len(page.Objects), page.NextStartWith != "")
	t.fields(page.Objects)
	return t.choose(page.Objects)
}

// clock compares with the Date of an answer, which has whole seconds.
func (t *tour) clock(e live.Exchange, asked time.Time) {
	date, err := http.ParseTime(e.Header.Get("Date"))
	if err != nil {
		return
	}
	skew := date.Sub(asked).Round(time.Second)
	t.n.Answer("oci.clock", live.Of(skew.Abs() <= maxSkew), fmt.Sprintf("Oracle's clock is %+d s from this one", int(skew.Seconds())))
}

func (t *tour) pageSize(n int, more bool) {
	v := live.Unknown // all there is fits into the page
	if n == pageSize || more {
		v = live.Of(n == pageSize)
	}
	t.n.Answer("oci.page", v, fmt.Sprintf("%d objects in the page, more to come: %t", n, more))
}

func (t *tour) fields(all []sample) {
	var etags, sums, times, rewritten int
	for _, o := range all {
		etags += count(o.Etag != "")
		sums += count(o.MD5 != "")
		both := !o.TimeCreated.IsZero() && !o.TimeModified.IsZero()
		times += count(both)
		rewritten += count(both && o.TimeModified.After(o.TimeCreated))
	}
	of := func(n int) string { return fmt.Sprintf("%d of %d objects", n, len(all)) }
	t.n.Answer("oci.list.etag", live.Of(etags == len(all)), of(etags))
	t.n.Answer("oci.list.md5", live.Of(sums == len(all)), of(sums))
	t.n.Answer("oci.list.times", live.Of(times == len(all)), of(times))
	if times > 0 {
		t.n.Answer("oci.rewritten", live.Of(rewritten > 0), of(rewritten))
	}
}

func count(seen bool) int {
	if seen {
		return 1
	}
	return 0
}

// choose takes the smallest report of the page that is not empty.
func (t *tour) choose(all []sample) bool {
	found := false
	for _, o := range all {
		fits := strings.HasSuffix(o.Name, ".csv.gz") && badName(o.Name) == "" && o.Size != nil && *o.Size > 0
		if fits && (!found || *o.Size < *t.sample.Size) {
			t.sample, found = o, true
		}
	}
	return found
}

func (t *tour) head(ctx context.Context) {
	e, _ := t.c.raw(ctx, call{"HEAD report", http.MethodHead, t.sample.Name, nil, nil})
	t.n.Answer("oci.head", e.Allowed(), e.String())
	if !e.OK() {
		return
	}
	t.n.Answer("oci.head.md5", live.Of(e.Has("content-md5")), e.With("content-md5", "opc-multipart-md5"))
	t.n.Answer("oci.head.crc32c", live.Of(e.Has("opc-content-crc32c")), e.With("opc-content-crc32c"))
	switch tier := e.Header.Get("storage-tier"); tier {
	case "":
	case "Standard":
		t.n.Answer("oci.tier", live.Yes, e.With("storage-tier"))
	default:
		t.n.Answer("oci.tier", live.No, e.With("storage-tier")+", which is not Standard")
	}
}

func (t *tour) get(ctx context.Context) {
	e, body := t.c.raw(ctx, call{"GET report", http.MethodGet, t.sample.Name, nil, nil})
	t.n.Answer("oci.get", e.Allowed(), e.String())
	if !e.OK() {
		return
	}
	t.n.Answer("oci.get.md5", live.Of(e.Has("content-md5")), e.With("content-md5", "opc-multipart-md5"))
	t.n.Answer("oci.get.crc32c", live.Of(e.Has("opc-content-crc32c")), e.With("opc-content-crc32c"))
	t.n.Answer("oci.encoding", live.Of(e.Has("content-encoding")), e.With("content-encoding"))
	if e.Has("etag") && t.sample.Etag != "" {
		t.n.Answer("oci.etag", live.Of(e.Header.Get("etag") == t.sample.Etag), e.With("etag"))
	}
	t.n.Answer("oci.size", live.Of(e.Header.Get("content-length") == strconv.FormatInt(*t.sample.Size, 10)), e.With("content-length"))
	if *t.sample.Size > liveSample {
		return
	}
	t.n.Answer("oci.gzip", live.Of(strings.HasPrefix(string(body), "\x1f\x8b")), fmt.Sprintf("%d bytes read", len(body)))
	t.sums(e, body)
}

// sums compares what is declared in any place with the bytes; an MD5 not where FIPS
// 140-3 mode refuses to compute one.
func (t *tour) sums(e live.Exchange, body []byte) {
	type sum struct{ declared, want string }
	crc := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	all := []sum{{e.Header.Get("opc-content-crc32c"), base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))}}
	if !fips140.Enforced() {
		digest := md5.Sum(body)
		want := base64.StdEncoding.EncodeToString(digest[:])
		all = append(all, sum{t.sample.MD5, want}, sum{e.Header.Get("content-md5"), want})
	}
	var right, wrong int
	for _, s := range all {
		right += count(s.declared == s.want)
		wrong += count(s.declared != s.want && s.declared != "")
	}
	if right+wrong > 0 {
		t.n.Answer("oci.sums", live.Of(wrong == 0), fmt.Sprintf("%d declared checksums of the listing and of GET agree, %d do not", right, wrong))
	}
}

func (t *tour) conditions(ctx context.Context) {
	e, body := t.c.raw(ctx, call{"GET range", http.MethodGet, t.sample.Name, nil, http.Header{"Range": {"bytes=0-1"}}})
	if e.OK() {
		t.n.Answer("oci.range", live.Of(e.Status == http.StatusPartialContent && len(body) == 2), e.With("content-range"))
	}
	e, _ = t.c.raw(ctx, call{"GET with another etag in If-Match", http.MethodGet, t.sample.Name, nil, http.Header{"If-Match": {liveNothing}}})
	switch {
	case e.OK():
		t.n.Answer("oci.ifmatch", live.No, e.String())
	case e.Status == http.StatusPreconditionFailed:
		t.n.Answer("oci.ifmatch", live.Yes, e.String())
	}
}

func (t *tour) missing(ctx context.Context) {
	name := t.c.options.Prefix + liveNothing
	e, _ := t.c.raw(ctx, call{"GET nothing", http.MethodGet, name, nil, nil})
	if e.Status >= 400 && e.Status < 500 {
		t.n.Answer("oci.missing", live.Of(e.Status == http.StatusNotFound && e.Code == "ObjectNotFound"), e.String())
	}
	e, _ = t.c.raw(ctx, call{"HEAD nothing", http.MethodHead, name, nil, nil})
	if e.Status >= 400 && e.Status < 500 {
		t.n.Answer("oci.missing.head", live.Of(e.Status == http.StatusNotFound), e.String())
	}
}

// A call is one request about the bucket, or about one of its objects.
type call struct {
	name   string // in the evidence
	method string
	object string
	query  url.Values
	header http.Header
}

// raw makes a call once and shows all that came back. The body ends with a sample.
func (c *Client) raw(ctx context.Context, what call) (live.Exchange, []byte) {
	limited, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	target := &url.URL{Path: "/n/" + c.options.Namespace + "/b/" + c.options.Bucket + "/o", RawQuery: what.query.Encode()}
	if what.object != "" {
		target.Path += "/" + what.object
	}
	header := what.header
	if header == nil {
		header = http.Header{}
	}
	resp, err := c.sdk.BaseClient.Call(detach(limited), &http.Request{Method: what.method, URL: target, Header: header})
	e := live.Exchange{Call: what.name}
	if resp == nil {
		e.Class = string(messages.ClassOf(c.fault(ctx, what.name, foreign(err), nil)))
		return e, nil
	}
	defer resp.Body.Close()
	e.Status, e.Header = resp.StatusCode, resp.Header
	var answer common.ServiceError
	if errors.As(err, &answer) && what.method != http.MethodHead {
		e.Code = answer.GetCode()
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, liveSample)) // what is missing shows in the length
	return e, body
}
