package simulator_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/internal/simulator"
)

const allFields = "name,size,etag,md5,timeCreated,timeModified"

func list(t *testing.T, sim *simulator.Simulation, change func(*objectstorage.ListObjectsRequest)) objectstorage.ListObjectsResponse {
	t.Helper()
	r := objectstorage.ListObjectsRequest{NamespaceName: &sim.Namespace, BucketName: &sim.OCIBucket}
	change(&r)
	page, err := ociClient(t, sim, sim.Key).ListObjects(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func listAll(t *testing.T, sim *simulator.Simulation, prefix string) (objects []objectstorage.ObjectSummary, pages int) {
	t.Helper()
	client := ociClient(t, sim, sim.Key)
	var start *string
	for {
		page, err := client.ListObjects(t.Context(), objectstorage.ListObjectsRequest{
			NamespaceName: &sim.Namespace, BucketName: &sim.OCIBucket, Prefix: &prefix, Start: start, Fields: new(allFields),
		})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		objects = append(objects, page.Objects...)
		if start = page.NextStartWith; start == nil {
			return objects, pages
		}
	}
}

func names(page objectstorage.ListObjectsResponse) string {
	var all []string
	for _, o := range page.Objects {
		all = append(all, *o.Name)
	}
	return strings.Join(append(all, page.Prefixes...), " ")
}

func get(sim *simulator.Simulation, client objectstorage.ObjectStorageClient, name string, change ...func(*objectstorage.GetObjectRequest)) (objectstorage.GetObjectResponse, error) {
	r := objectstorage.GetObjectRequest{NamespaceName: &sim.Namespace, BucketName: &sim.OCIBucket, ObjectName: &name}
	for _, f := range change {
		f(&r)
	}
	return client.GetObject(context.Background(), r)
}

func put(sim *simulator.Simulation, name, content string) {
	sim.Source.Add(simulator.Object{Name: name, Content: simulator.Bytes([]byte(content))})
}

func TestListPages(t *testing.T) {
	sim := start(t, simulator.Options{})
	for i := range 2500 {
		put(sim, fmt.Sprintf("FOCUS Reports/2026/01/01/%04d.csv.gz", i), "x")
	}
	put(sim, "reports/other", "")
	objects, pages := listAll(t, sim, "FOCUS Reports/")
	if len(objects) != 2500 || pages != 3 {
		t.Errorf("listed %d objects in %d pages, want 2500 in 3", len(objects), pages)
	}
	first := objects[0]
	if first.Size == nil || *first.Size != 1 || first.Etag == nil || first.Md5 == nil || first.TimeCreated == nil || first.TimeModified == nil {
		t.Errorf("first object = %v, want all fields", first)
	}
}

func TestListShowsOnlyTheFieldsAskedFor(t *testing.T) {
	sim := start(t, simulator.Options{})
	put(sim, "a", "1")
	page := list(t, sim, func(*objectstorage.ListObjectsRequest) {})
	o := page.Objects[0]
	if *o.Name != "a" || o.Size != nil || o.Etag != nil || o.Md5 != nil || o.TimeCreated != nil || o.TimeModified != nil {
		t.Errorf("object = %v, want the name alone", o)
	}
}

func TestListParameters(t *testing.T) {
	sim := start(t, simulator.Options{})
	for _, name := range []string{"a/1", "a/2", "a/b/3", "a/c/4", "a/c/5", "b"} {
		put(sim, name, "")
	}
	type request = *objectstorage.ListObjectsRequest
	for _, test := range []struct {
		name   string
		change func(request)
		want   string
	}{
		{"all", func(request) {}, "a/1 a/2 a/b/3 a/c/4 a/c/5 b"},
		{"prefix", func(r request) { r.Prefix = new("a/c/") }, "a/c/4 a/c/5"},
		{"start is inclusive", func(r request) { r.Start = new("a/c/4") }, "a/c/4 a/c/5 b"},
		{"startAfter is exclusive", func(r request) { r.StartAfter = new("a/c/4") }, "a/c/5 b"},
		{"end is exclusive", func(r request) { r.End = new("a/c/4") }, "a/1 a/2 a/b/3"},
		{"delimiter", func(r request) { r.Delimiter = new("/") }, "b a/"},
		{"delimiter and prefix", func(r request) { r.Delimiter, r.Prefix = new("/"), new("a/") }, "a/1 a/2 a/b/ a/c/"},
		{"limit", func(r request) { r.Limit = new(2) }, "a/1 a/2"},
		{"nothing", func(r request) { r.Prefix = new("z") }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := names(list(t, sim, test.change)); got != test.want {
				t.Errorf("listed %q, want %q", got, test.want)
			}
		})
	}
	page := list(t, sim, func(r request) { r.Delimiter, r.Prefix, r.Limit = new("/"), new("a/"), new(3) })
	if got := *page.NextStartWith; got != "a/c/4" {
		t.Errorf("nextStartWith = %q, want a/c/4", got)
	}
}

func TestListMillion(t *testing.T) {
	sim := start(t, simulator.Options{})
	one := simulator.Bytes([]byte("1"))
	sim.Source.Generate(1_000_000, func(i int) simulator.Object {
		return simulator.Object{Name: fmt.Sprintf("FOCUS Reports/2026/01/01/%07d.csv.gz", i), Content: one, NoMD5: true, NoCRC32C: true}
	})
	put(sim, "FOCUS Reports/2026/01/01/0999998x.csv.gz", "added")
	sim.Source.Remove("FOCUS Reports/2026/01/01/0999999.csv.gz")
	page := list(t, sim, func(r *objectstorage.ListObjectsRequest) {
		r.StartAfter = new("FOCUS Reports/2026/01/01/0999997.csv.gz")
	})
	if got, want := names(page), "FOCUS Reports/2026/01/01/0999998.csv.gz FOCUS Reports/2026/01/01/0999998x.csv.gz"; got != want {
		t.Errorf("tail of the listing = %q, want %q", got, want)
	}
	response, err := get(sim, ociClient(t, sim, sim.Key), "FOCUS Reports/2026/01/01/0500000.csv.gz")
	if err != nil || read(t, response.Content) != "1" {
		t.Errorf("get from the middle: %v", err)
	}
}

func TestGetReport(t *testing.T) {
	sim := start(t, simulator.Options{Seed: 7, Days: 2, Rows: 20, LastDay: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)})
	client := ociClient(t, sim, sim.Key)
	objects, _ := listAll(t, sim, simulator.Prefix)
	if len(objects) != 14 {
		t.Fatalf("listed %d objects, want 14", len(objects))
	}
	for _, o := range objects {
		response, err := get(sim, client, *o.Name, func(r *objectstorage.GetObjectRequest) { r.IfMatch = o.Etag })
		if err != nil {
			t.Fatal(err)
		}
		body := read(t, response.Content)
		if int64(len(body)) != *o.Size || *response.ContentLength != *o.Size || *response.ContentMd5 != *o.Md5 {
			t.Errorf("%s: got %d bytes, want %d", *o.Name, len(body), *o.Size)
		}
		if got := crc32cOf(body); *response.OpcContentCrc32c != got {
			t.Errorf("%s: declared crc32c %s, want %s", *o.Name, *response.OpcContentCrc32c, got)
		}
	}
}

func crc32cOf(body string) string {
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func TestGetConditionsAndRanges(t *testing.T) {
	sim := start(t, simulator.Options{})
	client := ociClient(t, sim, sim.Key)
	put(sim, "a", "0123456789")
	before, _ := sim.Source.Report("a")
	put(sim, "a", "0123456789")
	after, _ := sim.Source.Report("a")
	if before.ETag == after.ETag || !after.Modified.After(before.Modified) {
		t.Errorf("overwrite: etag %s to %s, modified %s to %s", before.ETag, after.ETag, before.Modified, after.Modified)
	}
	type request = *objectstorage.GetObjectRequest
	_, err := get(sim, client, "a", func(r request) { r.IfMatch = &before.ETag })
	wantOCI(t, err, 412, "IfMatchFailed")
	for header, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-2": "89", "bytes=8-99": "89"} {
		response, err := get(sim, client, "a", func(r request) { r.Range, r.IfMatch = &header, &after.ETag })
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, response.Content); got != want || response.RawResponse.StatusCode != http.StatusPartialContent {
			t.Errorf("%s = %q with %d, want %q with 206", header, got, response.RawResponse.StatusCode, want)
		}
	}
	_, err = get(sim, client, "a", func(r request) { r.Range = new("bytes=10-") })
	wantOCI(t, err, 416, "InvalidRange")
	response, _ := get(sim, client, "a", func(r request) { r.IfNoneMatch = &after.ETag })
	if response.RawResponse.StatusCode != http.StatusNotModified {
		t.Errorf("if-none-match = %d, want 304", response.RawResponse.StatusCode)
	}
}

func TestOddNamesRoundTrip(t *testing.T) {
	sim := start(t, simulator.Options{})
	client := ociClient(t, sim, sim.Key)
	odd := []string{
		"FOCUS Reports/a b.csv.gz", "a+b", "100%", "a%2Fb", "a/b", "x#y", "q?x=1&y=2", "größe/東京/🙂", "../up", "a/../b", "a//b", "//", "end/",
		"./.", "semi;colon", "quote\"'", "back\\slash", "tab\tname", strings.Repeat("n", 1024), "Case", "case", "e\u0301", "é", "\u202egnp",
	}
	for _, name := range odd {
		put(sim, name, name)
	}
	var listed []string
	for _, o := range list(t, sim, func(*objectstorage.ListObjectsRequest) {}).Objects {
		listed = append(listed, *o.Name)
	}
	slices.Sort(odd)
	if !slices.Equal(listed, odd) {
		t.Errorf("listed %q, want %q", listed, odd)
	}
	for _, name := range odd {
		response, err := get(sim, client, name)
		if err != nil {
			t.Errorf("get %q: %v", name, err)
			continue
		}
		if got := read(t, response.Content); got != name {
			t.Errorf("get %q = the content of %q", name, got)
		}
	}
}

func TestHeadShowsWhatIsNotHidden(t *testing.T) {
	sim := start(t, simulator.Options{})
	client := ociClient(t, sim, sim.Key)
	sim.Source.Add(
		simulator.Object{Name: "plain", Content: simulator.Bytes([]byte("x")), ContentEncoding: "gzip"},
		simulator.Object{Name: "hidden", Content: simulator.Random(1, 1<<40), NoMD5: true, NoCRC32C: true, NoETag: true},
		simulator.Object{Name: "lie", Content: simulator.Bytes([]byte("x")), CRC32C: "AAAAAA=="},
	)
	head := func(name string) objectstorage.HeadObjectResponse {
		r, err := client.HeadObject(t.Context(), objectstorage.HeadObjectRequest{NamespaceName: &sim.Namespace, BucketName: &sim.OCIBucket,
			ObjectName: &name, OpcClientRequestId: new("mine")})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plain := head("plain")
	if plain.ETag == nil || plain.ContentMd5 == nil || plain.OpcContentCrc32c == nil || *plain.ContentEncoding != "gzip" ||
		plain.LastModified == nil || plain.OpcRequestId == nil || *plain.OpcClientRequestId != "mine" {
		t.Errorf("head plain = %+v", plain)
	}
	hidden := head("hidden") // a terabyte: its sums must not be computed
	if hidden.ETag != nil || hidden.ContentMd5 != nil || hidden.OpcContentCrc32c != nil || *hidden.ContentLength != 1<<40 {
		t.Errorf("head hidden = %+v", hidden)
	}
	if lie := head("lie"); *lie.OpcContentCrc32c != "AAAAAA==" {
		t.Errorf("declared crc32c = %s, want the lie", *lie.OpcContentCrc32c)
	}
}

func TestStoredEncodingIsSentAsItIs(t *testing.T) {
	sim := start(t, simulator.Options{})
	content := simulator.FocusReport(1, time.Unix(0, 0), 5)
	sim.Source.Add(simulator.Object{Name: "r", Content: content, ContentEncoding: "gzip"})
	response, err := get(sim, ociClient(t, sim, sim.Key), "r")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	want.ReadFrom(content.Open(0))
	if got := read(t, response.Content); got != want.String() {
		t.Errorf("got %d bytes, want the %d stored ones", len(got), want.Len())
	}
}

func TestOCIRefusals(t *testing.T) {
	now := time.Now()
	sim := start(t, simulator.Options{Clock: func() time.Time { return now }})
	put(sim, "a", "")
	client := ociClient(t, sim, sim.Key)
	_, err := get(sim, client, "absent")
	wantOCI(t, err, 404, "ObjectNotFound")
	_, err = get(sim, client, "a", func(r *objectstorage.GetObjectRequest) { r.BucketName = new("other") })
	wantOCI(t, err, 404, "BucketNotFound")
	_, err = get(sim, client, "a", func(r *objectstorage.GetObjectRequest) { r.NamespaceName = new("other") })
	wantOCI(t, err, 404, "NamespaceNotFound")

	_, err = get(sim, ociClient(t, sim, newKey(t)), "a")
	wantOCI(t, err, 401, "NotAuthenticated")
	impostor := *newKey(t)
	impostor.Fingerprint = sim.Key.Fingerprint
	_, err = get(sim, ociClient(t, sim, &impostor), "a")
	wantOCI(t, err, 401, "NotAuthenticated")

	now = now.Add(6 * time.Minute)
	_, err = get(sim, client, "a")
	wantOCI(t, err, 401, "NotAuthenticated")
	now = now.Add(-2 * time.Minute)
	if _, err = get(sim, client, "a"); err != nil {
		t.Errorf("with a clock 4 minutes off: %v", err)
	}

	response, err := http.Get(sim.OCIURL + "/n/bling/b/x/o")
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response.Body); response.StatusCode != 401 || !strings.Contains(body, `"NotAuthenticated"`) {
		t.Errorf("unsigned request = %d %s, want 401", response.StatusCode, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestOCIConfigFile(t *testing.T) {
	sim := start(t, simulator.Options{})
	path, err := sim.WriteOCIConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	provider, err := common.ConfigurationProviderFromFileWithProfile(path, "DEFAULT", "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := provider.KeyID()
	if err != nil || id != sim.Key.ID() {
		t.Errorf("key id = %s, %v, want %s", id, err, sim.Key.ID())
	}
	private, err := provider.PrivateRSAKey()
	if err != nil || !private.Equal(sim.Key.Private) {
		t.Errorf("the key file does not hold the key: %v", err)
	}
}
