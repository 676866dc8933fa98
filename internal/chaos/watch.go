package chaos

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// A sending is a request that would make bytes visible: a PutObject or a Complete. It is
// noted when it arrives, before anything happens to it.
type sending struct {
	at           time.Time
	process, key string
	fault        bool // a fault of the nemesis met it
}

// watch looks at every request to either side, by a rule that never hits.
func (w *World) watch() {
	w.Sim.OCIFaults.Add(simulator.Rule{Match: func(r *http.Request) bool { w.lookAtSource(r); return false }})
	w.Sim.S3Faults.Add(simulator.Rule{Match: func(r *http.Request) bool { w.lookAtDestination(r); return false }})
}

// lookAtSource: only the bucket of the configuration is read, and only below its prefix.
func (w *World) lookAtSource(r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	rest, ok := strings.CutPrefix(path, "/n/"+w.Sim.Namespace+"/b/"+w.Sim.OCIBucket+"/o")
	object, err := url.PathUnescape(strings.TrimPrefix(rest, "/"))
	if object == "" {
		object = r.URL.Query().Get("prefix")
	} else if keyOf(w.Rules, object) == "" { // what is no report is not read
		ok = false
	}
	if !ok || err != nil || !strings.HasPrefix(object, w.Rules.Prefix) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.stray("source", r)
	}
}

// lookAtDestination: only below the path of the configuration is anything written.
func (w *World) lookAtDestination(r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	key, ok := strings.CutPrefix(path, "/"+w.Sim.S3Bucket)
	key, err := url.PathUnescape(strings.TrimPrefix(key, "/"))
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !ok || err != nil || !strings.HasPrefix(key, w.Rules.KeyPrefix) && !(reads && key == "") {
		w.stray("destination", r)
		return
	}
	if commits(r) {
		process := w.owner(accessKeyOf(r))
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent = append(w.sent, sending{at: time.Now(), process: process, key: key})
	}
}

// commits reports whether a request to S3 would make bytes visible.
func commits(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
}

func accessKeyOf(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	return key
}

func keyOfRequest(w *World, r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	key, _ := url.PathUnescape(strings.TrimPrefix(path, "/"+w.Sim.S3Bucket+"/"))
	return key
}

func (w *World) stray(side string, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.foreign = append(w.foreign, fmt.Sprintf("%s %s at the %s", r.Method, r.RequestURI, side))
}

// met marks the last sending of a key as one that a fault has met.
func (w *World) met(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.sent) - 1; i >= 0; i-- {
		if w.sent[i].key == key {
			w.sent[i].fault = true
			return
		}
	}
}

// crc32cOf is that of content, as S3 and OCI write it.
func crc32cOf(c simulator.Content) string {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	io.Copy(sum, c.Open(0)) // a hash takes everything, and content has no errors
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum.Sum32()))
}
