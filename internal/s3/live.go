package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/messages"
)

// The names, below the path, of what the live test writes. No importer of reports
// should take them: they are no .csv.gz.
const (
	LiveObject = "oracle-focus-agent-live-test"
	LiveUpload = LiveObject + "-upload"
)

// A LivePlace is where the live test looks and writes.
type LivePlace struct {
	Prefix string // of all keys; it ends in / or is empty
	// Ours tells whether a key, without the prefix, is one that the configured naming makes.
	Ours func(key string) bool
}

// LiveSteps ask the destination what no document tells. All but the first write.
func (c *Client) LiveSteps(at LivePlace) []live.Step {
	step := func(name, about, writes string, questions []live.Question, run func(*trial, context.Context)) live.Step {
		return live.Step{Name: name, About: about, Writes: writes, Questions: questions, Run: func(ctx context.Context, n *live.Notes) {
			run(&trial{c: c, n: n, at: at}, ctx)
		}}
	}
	return []live.Step{
		step("path", "lists the path and looks for an object that is not there", "", pathQuestions(), (*trial).path),
		step("upload", "begins a multipart upload, sends parts of it, and gives it up",
			"begins an upload to "+LiveUpload+" and aborts it: nothing becomes visible, and nothing stays where the keys may abort",
			uploadQuestions(), (*trial).upload),
		step("object", "writes a small object, looks at it, writes it again, and deletes it",
			"writes the object "+LiveObject+", a line of text, several times, and deletes it: it stays where the keys may not delete, "+
				"and an importer that takes every object may look at it",
			objectQuestions(), (*trial).object),
		step("complete", "completes a multipart upload, looks at the object, and deletes it",
			"completes uploads to the object "+LiveUpload+", a line of text, and deletes it: the same holds as for the step object",
			completeQuestions(), (*trial).complete),
	}
}

func pathQuestions() []live.Question {
	const unused = "nothing: the agent does not use it"
	return []live.Question{
		live.Ask("s3.alias", "Is the bucket the alias of an access point?", "a policy names the access point, not the alias", "a policy names the bucket"),
		live.Ask("s3.list", "May the keys list the path?", "`verify` can look by listing, and `state rebuild` need not ask for each object", "`verify` and `state rebuild` need HEAD instead"),
		live.Ask("s3.clock", "Is the clock of this machine within fifteen minutes of S3's?", "signatures are accepted", "set the clock: S3 refuses the signatures of another until they are made by its own"),
		live.Ask("s3.layout", "Do all reports below the path have the configured form of name?", "new reports join those that are there", "reports of another layout are there: another agent's may be delivered twice; see docs/migration.md"),
		live.Ask("s3.depth", "Do all objects lie at most one level below the path?", "the path is as Umbrella reads it", "see who writes them: Umbrella documents no second level"),
		live.Ask("s3.head.missing", "Does HEAD tell that an object is not there?", "an object that is absent is known to be so", "403 may mean absent or forbidden: absence is proven by a listing or not at all"),
		live.Ask("s3.uploads", "May the keys list open uploads?", unused, unused),
	}
}

func uploadQuestions() []live.Question {
	return []live.Question{
		live.Right("s3.create", "May the keys begin a multipart upload?", "reports larger than a chunk are sent in parts", "reports larger than a chunk cannot be copied"),
		live.Right("s3.part", "May the keys send a part?", "reports larger than a chunk are sent in parts", "reports larger than a chunk cannot be copied"),
		live.Ask("s3.part.crc32c", "Is a part with a wrong CRC32C refused?", "no damaged part is taken", "only the checksum of the whole, at the end, guards the parts"),
		live.Ask("s3.part.md5", "Is a part with a wrong Content-MD5 refused?", "nothing: the agent sends a CRC32C", "nothing: the agent sends a CRC32C"),
		live.Ask("s3.parts", "May the keys list the parts of an upload?", "nothing: the agent does not use it", "nothing: the agent does not use it"),
		live.Ask("s3.abort", "May the keys abort an upload?", "an upload that failed leaves nothing behind", "parts of uploads that failed stay, and cost, until a lifecycle rule removes them"),
	}
}

func objectQuestions() []live.Question {
	return []live.Question{
		live.Right("s3.put", "May the keys write an object?", "reports are written so", "nothing can be copied: `oracle-focus-agent test` names the right"),
		live.Ask("s3.head", "May the keys HEAD an object?", "a copy whose answer was lost is recognised, and `verify` looks at each object", "a copy whose answer was lost is sent again: the same bytes under the same key"),
		live.Ask("s3.head.crc32c", "Does HEAD show the CRC32C of the whole object?", "`verify` compares bytes by it", "`verify` compares size, etag and metadata"),
		live.Ask("s3.head.metadata", "Does HEAD show the metadata that were sent?", "a copy is told by the etag of its report", "a copy whose answer was lost is sent again"),
		live.Ask("s3.get", "May the keys read an object?", "nothing: the agent never reads what it wrote", "nothing: the agent never reads what it wrote"),
		live.Must("s3.overwrite", "May an object be written again?", "a new version of a report replaces the old one", "a new version of a report cannot be delivered"),
		live.Ask("s3.versions", "Does the bucket show that it keeps versions?", "replaced and deleted objects stay as old versions", "a replaced object is gone"),
		live.Ask("s3.ifnonematch", "Is If-None-Match honoured?", "nothing: the agent writes without a condition", "nothing: the agent writes without a condition"),
		live.Ask("s3.put.crc32c", "Is an object with a wrong CRC32C refused?", "no damaged object becomes visible", "a byte that is damaged on the way to S3 is not noticed there: use https"),
		live.Ask("s3.put.md5", "Is an object with its CRC32C and a wrong Content-MD5 refused?", "s3.content_md5 may be true: where Oracle declares an MD5 alone, S3 verifies it", "leave s3.content_md5 false: the agent computes what S3 does not verify"),
		live.Ask("s3.sse", "Is the header for encryption by S3 accepted?", "s3.sse may be AES256", "leave s3.sse empty: the bucket encrypts as it is set"),
		live.Ask("s3.owner", "Is the header for the expected owner accepted?", "S3 refuses a bucket of another account", "correct or remove s3.expected_bucket_owner: nothing can be copied with it"),
		live.Ask("s3.delete", "May the keys delete an object?", "nothing: the agent deletes nothing", "nothing: the agent deletes nothing"),
	}
}

func completeQuestions() []live.Question {
	return []live.Question{
		live.Right("s3.complete", "May the keys complete an upload with a CRC32C of the whole?", "reports larger than a chunk become visible only so", "reports larger than a chunk cannot be copied"),
		live.Ask("s3.complete.head", "Does HEAD show the CRC32C of the whole of an upload?", "`verify` compares bytes by it", "`verify` compares size, etag and metadata"),
		live.Ask("s3.complete.part", "Is an upload with a wrong part refused?", "no object of other parts becomes visible", "only the checksum of the whole guards it"),
		live.Ask("s3.complete.crc32c", "Is an upload with a wrong CRC32C of the whole refused?", "no damaged object becomes visible", "only the checksums of the parts guard it"),
		live.Ask("s3.complete.size", "Is an upload with a wrong size of the whole refused?", "no object that lacks a part becomes visible", "only the checksum of the whole guards it"),
	}
}

// A trial asks the questions of one step.
type trial struct {
	c        *Client
	n        *live.Notes
	at       LivePlace
	versions []string // ids of what was written, where the bucket shows them
	// unsure is set where the answer to a write was lost: the store may still be about
	// to do it, after any deletion.
	unsure bool
}

func (t *trial) key(name string) string { return t.at.Prefix + name }

// once makes each question one request, so that an answer is the answer to it.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// exchange is a call of the SDK as evidence.
func (t *trial) exchange(call string, metadata middleware.Metadata, err error) live.Exchange {
	e := live.Exchange{Call: call}
	if refused, ok := errors.AsType[*awshttp.ResponseError](err); ok && refused.HTTPStatusCode() >= 300 {
		e.Status, e.Header = refused.HTTPStatusCode(), refused.HTTPResponse().Header
		if api, ok := errors.AsType[smithy.APIError](err); ok && !strings.HasPrefix(call, "HEAD") { // which has no body
			e.Code = api.ErrorCode()
		}
		return e
	}
	if err != nil {
		e.Class = string(messages.ClassOf(t.c.fault(context.Background(), call, err)))
		return e
	}
	if resp, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response); ok {
		e.Status, e.Header = resp.StatusCode, resp.Header
	}
	return e
}

// write is the context of one request that writes. It does not end with a signal: an
// answer that nobody waits for leaves behind what nobody knows of. So a signal ends the
// step between two requests, each of which is bound.
func (t *trial) write(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), shortDeadline)
}

// ended is the exchange of a request that was not sent any more.
func ended(call string) live.Exchange { return live.Exchange{Call: call, Class: "ended"} }

// wrote notes what an answer to a write says was written, or that none came.
func (t *trial) wrote(e live.Exchange) live.Exchange {
	if id := e.Header.Get("x-amz-version-id"); e.OK() && id != "" && id != "null" {
		t.versions = append(t.versions, id)
	}
	t.unsure = t.unsure || uncertain(e)
	return e
}

// uncertain reports whether a write may have been done all the same.
func uncertain(e live.Exchange) bool {
	return e.Status == 0 || e.Status >= 500 && e.Allowed() == live.Unknown && e.Refused() == live.Unknown
}

// path asks what can be asked without writing.
func (t *trial) path(ctx context.Context) {
	form := map[bool]string{true: "the name ends as an alias does", false: "the name is that of a bucket"}
	alias := strings.HasSuffix(t.c.bucket, "-s3alias")
	t.n.Answer("s3.alias", live.Of(alias), form[alias])
	t.clock(ctx)
	t.list(ctx)
	e := t.head(ctx, "HEAD nothing", LiveObject+"-nothing").Exchange
	switch e.Status {
	case http.StatusNotFound:
		t.n.Answer("s3.head.missing", live.Yes, e.String())
	case http.StatusForbidden:
		t.n.Answer("s3.head.missing", live.No, e.String())
	}
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := t.c.sdk.ListMultipartUploads(limited, &s3.ListMultipartUploadsInput{Bucket: &t.c.bucket, Prefix: &t.at.Prefix, ExpectedBucketOwner: t.c.owner}, once)
	if err == nil {
		t.n.Answer("s3.uploads", live.Yes, fmt.Sprintf("%s, %d open below the path", t.exchange("GET uploads", out.ResultMetadata, nil), len(out.Uploads)))
		return
	}
	e = t.exchange("GET uploads", middleware.Metadata{}, err)
	t.n.Answer("s3.uploads", e.Allowed(), e.String())
}

// clock compares with the Date of an answer, which has whole seconds. It comes first:
// after a refusal for its clock the SDK signs by the other side's.
func (t *trial) clock(ctx context.Context) {
	asked := time.Now().Truncate(time.Second)
	e := t.head(ctx, "HEAD nothing", LiveObject+"-nothing").Exchange
	if date, err := http.ParseTime(e.Header.Get("Date")); err == nil {
		skew := date.Sub(asked).Round(time.Second)
		t.n.Answer("s3.clock", live.Of(skew.Abs() <= 15*time.Minute), fmt.Sprintf("S3's clock is %+d s from this one", int(skew.Seconds())))
	}
}

// list reads one page of the path.
func (t *trial) list(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := t.c.sdk.ListObjectsV2(limited, &s3.ListObjectsV2Input{Bucket: &t.c.bucket, Prefix: &t.at.Prefix, ExpectedBucketOwner: t.c.owner}, once)
	var metadata middleware.Metadata
	if out != nil {
		metadata = out.ResultMetadata
	}
	e := t.exchange("GET list", metadata, err)
	t.n.Answer("s3.list", e.Allowed(), e.String())
	if err != nil {
		return
	}
	var keys []string
	for _, o := range out.Contents {
		if key := strings.TrimPrefix(aws.ToString(o.Key), t.at.Prefix); key != "" && !strings.HasPrefix(key, LiveObject) {
			keys = append(keys, key)
		}
	}
	t.layout(keys, aws.ToBool(out.IsTruncated))
}

// layouts are the forms of names that agents are known to have written.
func layouts() []struct {
	name string
	form *regexp.Regexp
} {
	return []struct {
		name string
		form *regexp.Regexp
	}{
		{"YYYY-MM-DD_name", regexp.MustCompile(`^\d{4}-\d{2}-\d{2}_[^/]+\.csv\.gz$`)},
		{"YYYY_MM_DD/name", regexp.MustCompile(`^\d{4}_\d{2}_\d{2}/[^/]+\.csv\.gz$`)},
		{"YYYY/MM/DD/name", regexp.MustCompile(`^\d{4}/\d{2}/\d{2}/[^/]+\.csv\.gz$`)},
	}
}

func (t *trial) layout(keys []string, more bool) {
	if len(keys) == 0 {
		return
	}
	reports, ours, deep := 0, 0, 0
	counts := map[string]int{}
	for _, key := range keys {
		if strings.Count(key, "/") > 1 {
			deep++
		}
		if strings.HasSuffix(key, ".csv.gz") {
			reports++
		}
		if t.at.Ours(key) {
			ours++
		}
		for _, l := range layouts() {
			if l.form.MatchString(key) {
				counts[l.name]++
			}
		}
	}
	var evidence strings.Builder
	evidence.WriteString(fmt.Sprintf("%d objects, %d reports, %d of the configured form", len(keys), reports, ours))
	for _, l := range layouts() {
		evidence.WriteString(fmt.Sprintf(", %d %s", counts[l.name], l.name))
	}
	if more {
		evidence.WriteString("; more than one page")
	}
	if reports > 0 {
		t.n.Answer("s3.layout", live.Of(ours == reports), evidence.String())
	}
	t.n.Answer("s3.depth", live.Of(deep == 0), fmt.Sprintf("%d of %d objects lie deeper", deep, len(keys)))
}

// seen is what HEAD shows.
type seen struct {
	live.Exchange
	size     int64
	crc32c   string // of the whole object; empty where there is none
	metadata map[string]string
}

func (t *trial) head(ctx context.Context, call, name string) seen {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := t.c.sdk.HeadObject(limited, &s3.HeadObjectInput{
		Bucket: &t.c.bucket, Key: new(t.key(name)), ChecksumMode: "ENABLED", ExpectedBucketOwner: t.c.owner,
	}, once)
	if err != nil {
		return seen{Exchange: t.exchange(call, middleware.Metadata{}, err)}
	}
	s := seen{Exchange: t.exchange(call, out.ResultMetadata, nil), size: aws.ToInt64(out.ContentLength), metadata: out.Metadata}
	if out.ChecksumType == "FULL_OBJECT" {
		s.crc32c = aws.ToString(out.ChecksumCRC32C)
	}
	return s
}

// wrongMD5 is a Content-MD5 that no body of this test has. It is that of no bytes, and
// not computed here, since FIPS 140-3 mode may refuse to.
func wrongMD5() *string { return new("1B2M2Y8AsgTpgAmY7PhCfg==") }

// wrongSum is such a CRC32C.
func wrongSum() *string { return new(sum([]byte("other bytes"))) }

// read is the body of an object, at most as long as those of this test.
func read(r io.ReadCloser) []byte {
	defer r.Close()
	b, _ := io.ReadAll(io.LimitReader(r, 1<<10)) // what is missing shows
	return b
}

// delete removes an object with all its versions that this test knows, and notes what
// came of it. It goes on after the end of ctx: what was written is not left behind
// because somebody pressed Ctrl-C.
func (t *trial) delete(ctx context.Context, name string) live.Exchange {
	e := t.deleteVersion(ctx, name, nil)
	if !e.OK() {
		t.n.Wrote(name, live.LeftBehind, e.String())
		return e
	}
	versions := t.versions
	if id := e.Header.Get("x-amz-version-id"); id != "" { // of the marker that hides the others
		versions = append(versions, id)
	}
	stay, why := 0, ""
	for _, id := range versions {
		if v := t.deleteVersion(ctx, name, &id); !v.OK() {
			stay++
			why = v.String()
		}
	}
	switch {
	case stay > 0:
		t.n.Wrote(name, live.LeftBehind, fmt.Sprintf("as %d old versions behind a delete marker; %s", stay, why))
	case t.unsure:
		t.n.Wrote(name, live.Unclear, "deleted, but no certain answer came to a write of it: look whether it is there")
	default:
		t.n.Wrote(name, live.Removed, "")
	}
	t.versions = nil
	return e
}

func (t *trial) deleteVersion(ctx context.Context, name string, version *string) live.Exchange {
	call := "DELETE"
	if version != nil {
		call = "DELETE of a version"
	}
	limited, cancel := t.write(ctx)
	defer cancel()
	out, err := t.c.sdk.DeleteObject(limited, &s3.DeleteObjectInput{Bucket: &t.c.bucket, Key: new(t.key(name)), VersionId: version, ExpectedBucketOwner: t.c.owner}, once)
	if err != nil {
		return t.exchange(call, middleware.Metadata{}, err)
	}
	return t.exchange(call, out.ResultMetadata, nil)
}

func body(text string) []byte {
	return bytes.Clone([]byte("oracle-focus-agent live test, " + text + "\n"))
}
