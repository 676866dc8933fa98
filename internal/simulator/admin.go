package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// adminPath is where both servers answer unsigned requests from this machine.
const adminPath = "/_simulator/"

// serveAdmin answers:
//
//	GET    /_simulator/                        counters
//	GET    /_simulator/objects                 what the bucket declares of all objects
//	POST   /_simulator/objects?name=N          add or overwrite; the body is the content,
//	       &size=S&seed=D                      or random bytes,
//	       &rows=R&seed=D                      or a FOCUS report
//	DELETE /_simulator/objects?name=N          remove
func (o *OCI) serveAdmin(w http.ResponseWriter, r *http.Request) {
	if !fromLoopback(r) {
		http.Error(w, "only from this machine", http.StatusForbidden)
		return
	}
	query, _ := url.ParseQuery(r.URL.RawQuery)
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, adminPath) {
	case "GET ":
		writeJSON(w, map[string]any{"requests": o.Requests(), "bytesServed": o.BytesServed(), "faults": o.Faults.Count()})
	case "GET objects":
		writeJSON(w, o.source.Reports())
	case "POST objects":
		o.addObject(w, r, query)
	case "DELETE objects":
		o.source.Remove(query.Get("name"))
		w.WriteHeader(http.StatusNoContent)
	default:
		http.NotFound(w, r)
	}
}

func (o *OCI) addObject(w http.ResponseWriter, r *http.Request, query url.Values) {
	name := query.Get("name")
	content, err := describeContent(r.Body, query, o.Clock())
	if err != nil || name == "" {
		http.Error(w, "give name, and size or rows (numbers, optionally seed) or a body", http.StatusBadRequest)
		return
	}
	o.source.Add(Object{Name: name, Content: content, ContentEncoding: query.Get("contentEncoding")})
	report, _ := o.source.Report(name)
	writeJSON(w, report)
}

// describeContent makes content from the parameters of an admin request.
func describeContent(body io.Reader, query url.Values, day time.Time) (Content, error) {
	seed, err := strconv.ParseUint(shown(false, query.Get("seed"), "1"), 10, 64)
	if err != nil {
		return nil, err
	}
	if query.Has("size") {
		size, err := strconv.ParseInt(query.Get("size"), 10, 64)
		if size < 0 {
			return nil, errors.New("size is negative")
		}
		return Random(seed, size), err
	}
	if query.Has("rows") {
		rows, err := strconv.Atoi(query.Get("rows"))
		return FocusReport(seed, day, rows), err
	}
	data, err := io.ReadAll(body)
	return Bytes(data), err
}

func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(v)
}
