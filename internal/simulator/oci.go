package simulator

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// OCIOptions describe an emulated Object Storage. The zero value serves the
// default tenancy's reports and accepts no signature.
type OCIOptions struct {
	Namespace string                    // default "bling"
	Bucket    string                    // default DefaultTenancy
	Keys      map[string]*rsa.PublicKey // by key id "<tenancy>/<user>/<fingerprint>"
	Region    string                    // a label for people; default us-ashburn-1
	Clock     func() time.Time          // default time.Now
	Faults    *Faults                   // default none
}

// OCI is the part of OCI Object Storage that reading a bucket needs:
// ListObjects, GetObject and HeadObject, with verified request signatures; and
// the one question of the Usage API (see Usage), which Oracle serves elsewhere.
type OCI struct {
	OCIOptions
	source *Source
	count  counter
	sent   atomic.Int64 // bytes of objects
	tokens tokens
	usage  *Usage
}

// NewOCI returns the handler for the content of a source.
func NewOCI(source *Source, opts OCIOptions) *OCI {
	if opts.Namespace == "" {
		opts.Namespace = "bling"
	}
	if opts.Bucket == "" {
		opts.Bucket = DefaultTenancy
	}
	if opts.Region == "" {
		opts.Region = "us-ashburn-1"
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Faults == nil {
		opts.Faults = NewFaults(0)
	}
	return &OCI{OCIOptions: opts, source: source, usage: newUsage(source)}
}

// Requests is how many requests came in, per operation.
func (o *OCI) Requests() map[string]int { return o.count.snapshot() }

// BytesServed is how many bytes of objects were sent.
func (o *OCI) BytesServed() int64 { return o.sent.Load() }

// ociTarget is what a request is about.
type ociTarget struct {
	op        string // "" when the path means nothing
	namespace string
	bucket    string
	object    string
}

// ServeHTTP implements http.Handler.
func (o *OCI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.RequestURI, adminPath) {
		o.serveAdmin(w, r)
		return
	}
	w.Header().Set("opc-request-id", fmt.Sprintf("iad-1:simulated-%d", o.count.add("")))
	if id := r.Header.Get("opc-client-request-id"); id != "" {
		w.Header().Set("opc-client-request-id", id)
	}
	t := parseOCI(r)
	o.count.add(t.op)
	c := call{op: t.op, name: t.object, fail: failOCI}
	o.Faults.serve(c, w, r, func(w http.ResponseWriter, r *http.Request) {
		if err := o.handle(w, r, t); err != nil {
			failOCI(w, r, err.status, err.code, err.message)
		}
	})
}

// parseOCI reads the path as it was sent. Object names may hold anything, "..",
// "//" and "%2F" too, so nothing is cleaned and each part is unescaped alone.
func parseOCI(r *http.Request) ociTarget {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if r.Method == http.MethodPost && path == usagePath {
		return ociTarget{op: "RequestSummarizedUsages"}
	}
	parts := strings.SplitN(path, "/", 7) // "", n, ns, b, bucket, o, object
	if len(parts) < 6 || parts[1] != "n" || parts[3] != "b" || parts[5] != "o" {
		return ociTarget{op: "Other"}
	}
	t := ociTarget{namespace: unescape(parts[2]), bucket: unescape(parts[4])}
	if len(parts) == 7 {
		t.object = unescape(parts[6])
	}
	switch {
	case len(parts) == 6 && r.Method == http.MethodGet:
		t.op = "ListObjects"
	case len(parts) == 7 && r.Method == http.MethodGet:
		t.op = "GetObject"
	case len(parts) == 7 && r.Method == http.MethodHead:
		t.op = "HeadObject"
	default:
		t.op = "Other"
	}
	return t
}

// unescape is lenient: what cannot be unescaped stays as it is.
func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

func (o *OCI) handle(w http.ResponseWriter, r *http.Request, t ociTarget) *ociError {
	if err := o.authenticate(r); err != nil {
		return err
	}
	switch {
	case t.op == "RequestSummarizedUsages":
		return o.serveUsage(w, r)
	case t.op == "Other":
		return &ociError{http.StatusNotFound, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found."}
	case t.namespace != o.Namespace:
		return &ociError{http.StatusNotFound, "NamespaceNotFound",
			"You do not have authorization to perform this request, or the requested resource could not be found."}
	case t.bucket != o.Bucket:
		return &ociError{http.StatusNotFound, "BucketNotFound", fmt.Sprintf(
			"Either the bucket named '%s' does not exist in the namespace '%s' or you are not authorized to access it",
			t.bucket, t.namespace)}
	case t.op == "ListObjects":
		return o.list(w, r)
	}
	return o.serveObject(w, r, t.object)
}

// ociError is an answer of the real service's error table.
type ociError struct {
	status  int
	code    string
	message string
}

// failOCI writes an error as OCI does; the answer to a HEAD has no body.
func failOCI(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	body, _ := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code, message})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
