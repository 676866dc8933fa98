package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPage is the most objects that one listing page holds.
const maxPage = 1000

// listing is the answer to ListObjects.
type listing struct {
	Objects       []listed `json:"objects"`
	Prefixes      []string `json:"prefixes"`
	NextStartWith string   `json:"nextStartWith,omitempty"`
}

// listed is one object of a listing; fields that were not asked for are absent.
type listed struct {
	Name         string `json:"name"`
	Size         *int64 `json:"size,omitempty"`
	ETag         string `json:"etag,omitempty"`
	MD5          string `json:"md5,omitempty"`
	TimeCreated  string `json:"timeCreated,omitempty"`
	TimeModified string `json:"timeModified,omitempty"`
	StorageTier  string `json:"storageTier,omitempty"`
}

// listQuery is a checked ListObjects request.
type listQuery struct {
	prefix    string
	from      string // first name to look at
	end       string // first name to leave out; "" for none
	delimiter bool
	limit     int
	fields    []string
}

func (o *OCI) list(w http.ResponseWriter, r *http.Request) *ociError {
	q, err := parseList(r.URL.RawQuery)
	if err != nil {
		return err
	}
	body, _ := json.Marshal(o.page(q))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
	return nil
}

func parseList(rawQuery string) (listQuery, *ociError) {
	v, _ := url.ParseQuery(rawQuery)
	q := listQuery{prefix: v.Get("prefix"), from: v.Get("start"), end: v.Get("end"), limit: maxPage}
	if after := v.Get("startAfter"); after != "" {
		q.from = max(q.from, after+"\x00")
	}
	q.from = max(q.from, q.prefix)
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, &ociError{http.StatusBadRequest, "InvalidParameter", "limit must be a positive number"}
		}
		q.limit = min(n, maxPage)
	}
	switch v.Get("delimiter") {
	case "":
	case "/":
		q.delimiter = true
	default:
		return q, &ociError{http.StatusBadRequest, "InvalidParameter", "the only supported delimiter is '/'"}
	}
	return q, q.parseFields(v.Get("fields"))
}

func (q *listQuery) parseFields(text string) *ociError {
	known := []string{"name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState"}
	for field := range strings.SplitSeq(text, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		if !slices.Contains(known, field) {
			return &ociError{http.StatusBadRequest, "InvalidParameter", "unknown field '" + field + "'"}
		}
		q.fields = append(q.fields, field)
	}
	return nil
}

// page collects one page in time proportional to what it returns: with a
// delimiter it jumps over the inside of each folder.
func (o *OCI) page(q listQuery) listing {
	page := listing{Objects: []listed{}, Prefixes: []string{}}
	from := q.from
	for {
		left := q.limit - len(page.Objects) - len(page.Prefixes)
		batch := o.source.from(from, left+1)
		jumped := false
		for i, e := range batch {
			if !q.holds(e.Name) {
				return page
			}
			if i == left {
				page.NextStartWith = e.Name
				return page
			}
			if folder, ok := q.folder(e.Name); ok {
				page.Prefixes = append(page.Prefixes, folder)
				from, jumped = folder[:len(folder)-1]+"0", true // "0" follows "/"
				break
			}
			page.Objects = append(page.Objects, q.describe(e))
		}
		if !jumped {
			return page
		}
	}
}

// holds tells whether a name at or after from belongs to the listing; names
// after one that does not do not either.
func (q *listQuery) holds(name string) bool {
	return strings.HasPrefix(name, q.prefix) && (q.end == "" || name < q.end)
}

// folder is the common prefix that stands for a name.
func (q *listQuery) folder(name string) (string, bool) {
	if !q.delimiter {
		return "", false
	}
	i := strings.IndexByte(name[len(q.prefix):], '/')
	if i < 0 {
		return "", false
	}
	return name[:len(q.prefix)+i+1], true
}

func (q *listQuery) describe(e *entry) listed {
	const format = "2006-01-02T15:04:05.000Z"
	l := listed{Name: e.Name}
	for _, field := range q.fields {
		switch field {
		case "size":
			l.Size = new(e.Content.Size())
		case "etag":
			l.ETag = shown(e.NoETag, e.ETag, "")
		case "md5":
			l.MD5, _ = e.declared()
		case "timeCreated":
			l.TimeCreated = e.Created.UTC().Format(format)
		case "timeModified":
			l.TimeModified = e.Modified.UTC().Format(format)
		case "storageTier":
			l.StorageTier = "Standard"
		}
	}
	return l
}
