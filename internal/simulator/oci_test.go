package simulator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/internal/simulator"
)

const allFields = "name,size,etag,md5,timeCreated,timeModified"

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

func get(sim *simulator.Simulation, client objectstorage.ObjectStorageClient, name string, change ...func(*objectstorage.GetObjectRequest)) (objectstorage.GetObjectResponse, error) {
	r := objectstorage.GetObjectRequest{NamespaceName: &sim.Namespace, BucketName: &sim.OCIBucket, ObjectName: &name}
	for _, f := range change {
		f(&r)
	}
	return client.GetObject(context.Background(), r)
}

func TestListPages(t *testing.T) {
	sim := start(t, simulator.Options{})
	for i := range 2500 {
		sim.Source.Add(simulator.Object{Name: fmt.Sprintf("FOCUS Reports/2026/01/01/%04d.csv.gz", i), Content: simulator.Bytes([]byte("x"))})
	}
	sim.Source.Add(simulator.Object{Name: "reports/other", Content: simulator.Bytes(nil)})
	objects, pages := listAll(t, sim, "FOCUS Reports/")
	if len(objects) != 2500 || pages != 3 {
		t.Errorf("listed %d objects in %d pages, want 2500 in 3", len(objects), pages)
	}
	first := objects[0]
	if first.Size == nil || *first.Size != 1 || first.Etag == nil || first.Md5 == nil || first.TimeCreated == nil || first.TimeModified == nil {
		t.Errorf("first object = %v, want all fields", first)
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
		if !strings.HasPrefix(body, "\x1f\x8b") {
			t.Errorf("%s is not gzip", *o.Name)
		}
	}
}
