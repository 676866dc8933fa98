package simulator_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

func ask(t *testing.T, method, address, body string, v any) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport(t).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, response.Body)
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s = %d %s", method, address, response.StatusCode, text)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatalf("%s %s = %s: %v", method, address, text, err)
		}
	}
}

func TestAdmin(t *testing.T) {
	sim := start(t, simulator.Options{})
	objects := sim.OCIURL + "/_simulator/objects"
	name := "FOCUS Reports/2026/01/01/0001-00001.csv.gz"
	at := objects + "?name=" + url.QueryEscape(name)
	var first, second simulator.Report
	ask(t, "POST", at+"&size=1000&seed=4", "", &first)
	ask(t, "POST", at+"&rows=3", "", &second)
	if first.Size != 1000 || first.Name != name || second.ETag == first.ETag || second.Size == first.Size {
		t.Errorf("first = %+v, second = %+v", first, second)
	}
	ask(t, "POST", objects+"?name=literal", "hello", nil)
	if got, err := get(sim, ociClient(t, sim, sim.Key), "literal"); err != nil || read(t, got.Content) != "hello" {
		t.Errorf("literal: %v", err)
	}
	ask(t, "DELETE", objects+"?name=literal", "", nil)
	var all []simulator.Report
	ask(t, "GET", objects, "", &all)
	if len(all) != 1 || all[0] != second {
		t.Errorf("objects = %+v, want the second version", all)
	}
	var counters struct {
		Requests    map[string]int
		BytesServed int64
	}
	ask(t, "GET", sim.OCIURL+"/_simulator/", "", &counters)
	if counters.Requests["GetObject"] != 1 || counters.BytesServed != 5 {
		t.Errorf("counters = %+v", counters)
	}

	if _, err := s3Client(t, sim).PutObject(t.Context(), putInput(sim, "x")); err != nil {
		t.Fatal(err)
	}
	newMultipart(t, sim)
	var history []simulator.Commit
	var uploads []simulator.Upload
	var infos []simulator.ObjectInfo
	ask(t, "GET", sim.S3URL+"/_simulator/history", "", &history)
	ask(t, "GET", sim.S3URL+"/_simulator/uploads", "", &uploads)
	ask(t, "GET", sim.S3URL+"/_simulator/objects", "", &infos)
	if len(history) != 1 || len(uploads) != 1 || len(infos) != 1 || history[0].Key != key {
		t.Errorf("history %+v, uploads %+v, objects %+v", history, uploads, infos)
	}
}
