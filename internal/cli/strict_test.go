package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/versitygw"
)

// The whole way, into an S3 server that is not of this project.
func TestSyncIntoAStrictServer(t *testing.T) {
	t.Parallel()
	srv := versitygw.Start(t)
	w := newWorld(t, simulator.Options{Days: 2, FilesPerDay: 3}, "FOCUS_S3_ENDPOINT="+srv.URL, "FOCUS_S3_BUCKET_PATH=s3://"+srv.Bucket+"/acme/0/main",
		"FOCUS_S3_REGION="+srv.Region, "FOCUS_S3_ACCESS_KEY_ID="+srv.AccessKeyID, "FOCUS_S3_SECRET_ACCESS_KEY="+srv.SecretAccessKey)
	day := w.Source.Objects()[0].Created
	large := simulator.ReportName(day, 1_000_009_000_001, 1)
	w.Source.Add(simulator.Object{Name: large, Content: simulator.Random(3, 11<<20)})
	if got := w.sync(t, 0); got.Transferred != 7 {
		t.Errorf("the first sync transferred %d files, want 7", got.Transferred)
	}
	for _, o := range w.Source.Objects() {
		var want bytes.Buffer
		if _, err := want.ReadFrom(o.Content.Open(0)); err != nil {
			t.Fatal(err)
		}
		if got, ok := srv.Object(t, "acme/0/main/"+flat(o.Name)); !ok || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %d bytes at the destination, want %d", o.Name, len(got), want.Len())
		}
	}
	if got := w.sync(t, 0); got.Transferred != 0 || got.Skipped != 7 {
		t.Errorf("the second sync: %+v", got)
	}
}

// flat is the default key of a report: its day and its file name.
func flat(name string) string {
	name = strings.TrimPrefix(name, simulator.Prefix)
	return strings.ReplaceAll(name[:10], "/", "-") + "_" + name[11:]
}
