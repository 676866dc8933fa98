package simulator

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// A Comparison holds the destination against the source.
type Comparison struct {
	SourceObjects      int   `json:"source_objects"`
	SourceBytes        int64 `json:"source_bytes"`
	DestinationObjects int   `json:"destination_objects"`
	// Equal counts the reports that are at the destination byte for byte.
	Equal int `json:"equal"`
	// Missing and Different are names of reports, Extra keys of the destination
	// that hold no report, or one that another key holds already.
	Missing   []string `json:"missing"`
	Different []string `json:"different"`
	Extra     []string `json:"extra"`

	// Commits is how often bytes became visible, Repeated where the same bytes did
	// more than once.
	Commits     int        `json:"commits"`
	Repeated    []Repeated `json:"repeated"`
	OpenUploads []Upload   `json:"open_uploads"`

	// Requests and Faults are counts by side ("oci", "s3") and kind.
	Requests map[string]map[string]int `json:"requests"`
	Faults   map[string]map[string]int `json:"faults"`
}

// Repeated is a key to which the same bytes were committed more than once.
type Repeated struct {
	Key     string `json:"key"`
	Commits int    `json:"commits"`
}

// Complete reports whether every report is at the destination, nothing else is,
// and no upload was left open.
func (c *Comparison) Complete() bool {
	return c.Equal == c.SourceObjects && c.DestinationObjects == c.SourceObjects && len(c.OpenUploads) == 0
}

// Repeats is how many commits brought nothing new.
func (c *Comparison) Repeats() (n int) {
	for _, r := range c.Repeated {
		n += r.Commits - 1
	}
	return n
}

// Compare looks at both sides as they are now. Which report an object holds is
// said by its metadata, as the agent writes it, and by its key, which ends as the
// report's name does; whether it does hold it, by size and CRC32C, both computed
// here over all bytes.
func (s *Simulation) Compare() *Comparison {
	c := &Comparison{
		Missing: []string{}, Different: []string{}, Extra: []string{}, OpenUploads: s.S3.OpenUploads(),
		Requests: map[string]map[string]int{"oci": s.OCI.Requests(), "s3": s.S3.Requests()},
		Faults:   map[string]map[string]int{"oci": s.OCIFaults.Count(), "s3": s.S3Faults.Count()},
	}
	c.history(s.S3.History())
	objects := s.S3.Objects()
	c.DestinationObjects = len(objects)
	found := map[string]ObjectInfo{}
	for _, o := range objects {
		name := o.Metadata["oci-name"]
		if _, twice := found[name]; twice || name == "" || !strings.HasSuffix(o.Key, path.Base(name)) {
			c.Extra = append(c.Extra, o.Key)
			continue
		}
		found[name] = o
	}
	for _, e := range s.Source.from("", -1) {
		o, ok := found[e.Name]
		delete(found, e.Name)
		c.report(e, o, ok)
	}
	for _, o := range found {
		c.Extra = append(c.Extra, o.Key)
	}
	slices.Sort(c.Extra)
	return c
}

func (c *Comparison) report(e *entry, o ObjectInfo, found bool) {
	c.SourceObjects++
	c.SourceBytes += e.Content.Size()
	switch {
	case !found:
		c.Missing = append(c.Missing, e.Name)
	case o.Size != e.Content.Size() || o.CRC32C != e.crc32c():
		c.Different = append(c.Different, e.Name)
	default:
		c.Equal++
	}
}

// crc32c is that of the content, whatever the bucket declares or hides.
func (e *entry) crc32c() string {
	if e.NoCRC32C || e.CRC32C != "" {
		_, sum := digest(e.Content, false, true)
		return sum
	}
	_, sum := e.declared()
	return sum
}

func (c *Comparison) history(commits []Commit) {
	type bytes struct {
		key, crc32c string
		size        int64
	}
	counts := map[bytes]int{}
	for _, h := range commits {
		counts[bytes{h.Key, h.CRC32C, h.Size}]++
	}
	c.Commits, c.Repeated = len(commits), []Repeated{}
	for b, n := range counts {
		if n > 1 {
			c.Repeated = append(c.Repeated, Repeated{b.key, n})
		}
	}
	slices.SortFunc(c.Repeated, func(a, b Repeated) int { return cmp.Compare(a.Key, b.Key) })
}
