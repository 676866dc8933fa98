package simulator_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"oracle-focus-agent/internal/simulator"
)

// controlled is a simulation with n reports and a control server.
func controlled(t *testing.T, n int) *simulator.Simulation {
	t.Helper()
	return start(t, simulator.Options{Days: 1, FilesPerDay: n, Rows: 3, ControlAddress: "127.0.0.1:0"})
}

// deliver does what the agent does: it puts bytes under a key with the name of
// their report.
func deliver(t *testing.T, sim *simulator.Simulation, name, key string, content io.Reader) {
	t.Helper()
	data, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s3Client(t, sim).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &sim.S3Bucket, Key: &key, Body: bytes.NewReader(data), Metadata: map[string]string{"oci-name": name},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func deliverAll(t *testing.T, sim *simulator.Simulation) {
	t.Helper()
	for _, o := range sim.Source.Objects() {
		deliver(t, sim, o.Name, "2026-01-01_"+path.Base(o.Name), o.Content.Open(0))
	}
}

func comparison(t *testing.T, sim *simulator.Simulation) *simulator.Comparison {
	t.Helper()
	c := new(simulator.Comparison)
	ask(t, "GET", sim.ControlURL+"/v1/comparison", "", c)
	return c
}

func TestComparison(t *testing.T) {
	sim := controlled(t, 4)
	if c := comparison(t, sim); c.Complete() || c.SourceObjects != 4 || len(c.Missing) != 4 || c.SourceBytes == 0 {
		t.Errorf("nothing delivered: %+v", c)
	}
	deliverAll(t, sim)
	if c := comparison(t, sim); !c.Complete() || c.Equal != 4 || c.Commits != 4 || c.Repeats() != 0 || c.Requests["s3"]["PutObject"] != 4 {
		t.Errorf("all delivered: %+v", c)
	}
	objects := sim.Source.Objects()
	first, second, third := objects[0], objects[1], objects[2]

	deliver(t, sim, first.Name, "2026-01-01_"+path.Base(first.Name), first.Content.Open(0))
	c := comparison(t, sim)
	if !c.Complete() || c.Commits != 5 || c.Repeats() != 1 || c.Repeated[0].Key != "2026-01-01_"+path.Base(first.Name) {
		t.Errorf("once more the same: %+v", c)
	}
	deliver(t, sim, first.Name, "2026-01-01_"+path.Base(first.Name), strings.NewReader("other bytes"))
	deliver(t, sim, second.Name, "2026-01-02_"+path.Base(second.Name), second.Content.Open(0))
	deliver(t, sim, third.Name, "wrong.csv.gz", third.Content.Open(0))
	deliver(t, sim, "of nobody", "of nobody", strings.NewReader(""))
	newMultipart(t, sim)
	c = comparison(t, sim)
	if c.Complete() || c.Equal != 3 || len(c.Different) != 1 || c.Different[0] != first.Name || c.Repeats() != 1 {
		t.Errorf("other bytes: %+v", c)
	}
	if len(c.Extra) != 3 || len(c.OpenUploads) != 1 {
		t.Errorf("extra = %q, open uploads %v; want the second key of a report, the wrong key and nobody's", c.Extra, c.OpenUploads)
	}
}

// Each thing that is not as it should be keeps a comparison from being complete.
func TestComparisonIsComplete(t *testing.T) {
	for name, spoil := range map[string]func(*simulator.Simulation){
		"a report is missing": func(sim *simulator.Simulation) { put(sim, "new", "report") },
		"a key is too many":   func(sim *simulator.Simulation) { deliver(t, sim, "", "more", strings.NewReader("")) },
		"an upload is open":   func(sim *simulator.Simulation) { newMultipart(t, sim) },
		"a report has changed": func(sim *simulator.Simulation) {
			sim.Overwrite(simulator.OverwriteOrder{Name: sim.Source.Objects()[0].Name})
		},
	} {
		sim := controlled(t, 2)
		deliverAll(t, sim)
		if c := sim.Compare(); !c.Complete() {
			t.Fatalf("%+v", c)
		}
		spoil(sim)
		if c := sim.Compare(); c.Complete() {
			t.Errorf("%s, and all is complete: %+v", name, c)
		}
	}
}

// A bucket that declares nothing, or something wrong, is compared by its bytes.
func TestComparisonTrustsBytesOnly(t *testing.T) {
	sim := controlled(t, 1)
	sim.Source.Remove(sim.Source.Objects()[0].Name)
	for i, o := range []simulator.Object{{NoCRC32C: true}, {CRC32C: "AAAAAA=="}} {
		o.Name, o.Content = fmt.Sprintf("object-%d", i), simulator.Bytes([]byte("bytes"))
		sim.Source.Add(o)
	}
	deliverAll(t, sim)
	if c := comparison(t, sim); !c.Complete() || c.Equal != 2 {
		t.Errorf("comparison = %+v", c)
	}
}

func TestControlAddsAndOverwrites(t *testing.T) {
	sim := controlled(t, 1)
	var names []string
	ask(t, "POST", sim.ControlURL+"/v1/reports", `{"count":5,"size":1000,"days":2,"day":"2026-03-01"}`, &names)
	want := map[string]int{"2026/03/01": 3, "2026/02/28": 2}
	for _, name := range names {
		r, ok := sim.Source.Report(name)
		want[strings.TrimPrefix(path.Dir(name), "FOCUS Reports/")]--
		if !ok || r.Size != 1000 {
			t.Errorf("%s has %d bytes: %v", name, r.Size, ok)
		}
	}
	if len(names) != 5 || want["2026/03/01"] != 0 || want["2026/02/28"] != 0 {
		t.Errorf("names = %q, want 3 of the last day and 2 of the day before", names)
	}
	var more []string
	ask(t, "POST", sim.ControlURL+"/v1/reports", `{"count":1}`, &more)
	if r, ok := sim.Source.Report(more[0]); !ok || r.Size == 0 || !strings.Contains(r.Name, time.Now().UTC().Format("2006/01/02")) {
		t.Errorf("a report of today: %+v, %v", r, ok)
	}
	if n := len(sim.Source.Objects()); n != 7 {
		t.Errorf("%d objects, want 7 names of their own", n)
	}
	old, _ := sim.Source.Report(names[0])
	var changed simulator.Report
	ask(t, "POST", sim.ControlURL+"/v1/overwrite", fmt.Sprintf(`{"name":%q}`, names[0]), &changed)
	if changed.ETag == old.ETag || changed.CRC32C == old.CRC32C || changed.Size != old.Size || !changed.Modified.After(old.Modified) {
		t.Errorf("overwritten: %+v, was %+v", changed, old)
	}
	ask(t, "POST", sim.ControlURL+"/v1/overwrite", fmt.Sprintf(`{"name":%q,"size":7}`, names[0]), &changed)
	if changed.Size != 7 {
		t.Errorf("overwritten: %+v, want 7 bytes", changed)
	}
}

func TestControlPlansFaults(t *testing.T) {
	sim := controlled(t, 1)
	name := sim.Source.Objects()[0].Name
	client := ociClient(t, sim, sim.Key)
	ask(t, "POST", sim.ControlURL+"/v1/faults", `{"side":"oci","op":"GetObject","times":1,"fault":"status","status":503,"code":"ServiceUnavailable"}`, nil)
	_, err := get(sim, client, name)
	wantOCI(t, err, 503, "ServiceUnavailable")
	ask(t, "POST", sim.ControlURL+"/v1/faults", `{"side":"s3","op":"PutObject","fault":"status","status":403,"code":"AccessDenied"}`, nil)
	_, err = s3Client(t, sim).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &sim.S3Bucket, Key: aws.String("x"), Body: strings.NewReader("")})
	wantS3(t, err, "AccessDenied")
	if c := comparison(t, sim); c.Faults["oci"]["status 503"] != 1 || c.Faults["s3"]["status 403"] != 1 {
		t.Errorf("faults = %v", c.Faults)
	}
	ask(t, "DELETE", sim.ControlURL+"/v1/faults", "", nil)
	deliverAll(t, sim)
	for _, fault := range []string{
		`"latency","pause":"1ms"`, `"reset"`, `"reset","bytes":5`, `"lost"`, `"stall","bytes":5`, `"trickle","bytes":5,"pause":"1ms"`, `"truncate"`,
		`"extend","bytes":2`, `"flip"`, `"empty complete","applied":true`, `"slow complete","pieces":2,"pause":"1ms"`, `"status","status":429,"pause":"2s"`,
	} {
		ask(t, "POST", sim.ControlURL+"/v1/faults", `{"side":"s3","op":"Nothing","fault":`+fault+`}`, nil)
	}
}

// What is no order is refused with a reason and changes nothing.
func TestControlRefuses(t *testing.T) {
	sim := controlled(t, 1)
	for _, test := range []struct{ path, order, reason string }{
		{"reports", `{"count":0}`, "count"},
		{"reports", `{"count":1,"size":-1}`, "size"},
		{"reports", `{"count":1,"day":"yesterday"}`, "YYYY-MM-DD"},
		{"reports", `{"count":1,"colour":"red"}`, "colour"},
		{"overwrite", `{"name":"none"}`, "none"},
		{"overwrite", `{`, "order"},
		{"faults", `{"side":"up","fault":"reset"}`, "side"},
		{"faults", `{"side":"s3","fault":"fire"}`, "latency"},
		{"faults", `{"side":"s3","fault":"status"}`, "200 to 599"},
		{"faults", `{"side":"s3","fault":"trickle"}`, "bytes"},
		{"faults", `{"side":"s3","fault":"flip","bytes":-1}`, "negative"},
		{"faults", `{"side":"s3","fault":"latency","pause":"long"}`, "200ms"},
	} {
		r, err := http.NewRequest("POST", sim.ControlURL+"/v1/"+test.path, strings.NewReader(test.order))
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport(t).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, response.Body); response.StatusCode != 400 || !strings.Contains(text, test.reason) {
			t.Errorf("%s %s = %d %s, want 400 with %q", test.path, test.order, response.StatusCode, text, test.reason)
		}
	}
	if n := len(sim.Source.Objects()); n != 1 {
		t.Errorf("%d objects, want 1", n)
	}
}

// Under a name that is advertised, any address is served, and all that points at
// the simulator says that name.
func TestAdvertised(t *testing.T) {
	opts := simulator.Options{OCIAddress: "0.0.0.0:0", S3Address: ":0", ControlAddress: "[::]:0", Advertise: "simulator"}
	sim := start(t, opts)
	for _, url := range []string{sim.OCIURL, sim.S3URL, sim.ControlURL} {
		if !strings.HasPrefix(url, "http://simulator:") || strings.HasSuffix(url, ":0") {
			t.Errorf("url = %s", url)
		}
	}
	port := sim.ControlURL[strings.LastIndex(sim.ControlURL, ":"):]
	ask(t, "GET", "http://127.0.0.1"+port+"/livez", "", nil)
	environ := strings.Join(sim.Environment("/c"), "\n")
	if !strings.Contains(environ, "FOCUS_OCI_ENDPOINT="+sim.OCIURL) || !strings.Contains(environ, "ALLOW_INSECURE_ENDPOINT=true") {
		t.Errorf("environment = %s", environ)
	}
}

// Before it runs, a simulation knows what it will be.
func TestPrepare(t *testing.T) {
	opts := simulator.Options{OCIAddress: "0.0.0.0:9081", S3Address: "0.0.0.0:9082", Advertise: "simulator"}
	sim, err := simulator.Prepare(opts)
	if err != nil {
		t.Fatal(err)
	}
	if sim.OCIURL != "http://simulator:9081" || sim.S3URL != "http://simulator:9082" || sim.Close() != nil {
		t.Errorf("urls = %s, %s", sim.OCIURL, sim.S3URL)
	}
	for _, bad := range []simulator.Options{{}, {OCIAddress: "0.0.0.0:9081", S3Address: "127.0.0.1:9082"}} {
		if sim, err := simulator.Prepare(bad); err == nil {
			t.Errorf("%+v gave %s and %s", bad, sim.OCIURL, sim.S3URL)
		}
	}
}

// What an earlier run wrote is left alone: agents may be reading it.
func TestOCIConfigIsNotWrittenAgain(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	write := func(key *simulator.Key) (files [2]os.FileInfo) {
		t.Helper()
		path, err := simulator.WriteOCIConfig(dir, key, "us-ashburn-1")
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{path, filepath.Join(dir, "oci_api_key.pem")} {
			if files[i], err = os.Stat(name); err != nil || files[i].Mode() != 0o600 {
				t.Fatalf("%s: %v, %v", name, files[i].Mode(), err)
			}
		}
		return files
	}
	first, again, other := write(key), write(key), write(newKey(t))
	for i := range first {
		if !os.SameFile(first[i], again[i]) || os.SameFile(first[i], other[i]) {
			t.Errorf("%s: want the same file for the same key, and another one for another", first[i].Name())
		}
	}
}
