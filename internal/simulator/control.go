package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// firstAdded is the number of the first report that is made on request, far
// above those of a Month.
const firstAdded = 1_000_009_500_000

// control is what the control server answers, in JSON:
//
//	GET    /livez           ok
//	GET    /v1/comparison   a Comparison
//	POST   /v1/reports      a ReportOrder: new reports; answers their names
//	POST   /v1/overwrite    an OverwriteOrder: other bytes; answers the new Report
//	POST   /v1/faults       a FaultOrder: a rule in force
//	DELETE /v1/faults       no rules any more, on either side
//	POST   /v1/usage        a UsageOrder: what the Usage API answers
//
// It obeys whoever reaches it, and is off unless asked for.
func (s *Simulation) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /v1/comparison", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Compare()) })
	mux.HandleFunc("POST /v1/reports", obey(func(o ReportOrder) (any, error) { return s.AddReports(o) }))
	mux.HandleFunc("POST /v1/overwrite", obey(func(o OverwriteOrder) (any, error) { return s.Overwrite(o) }))
	mux.HandleFunc("POST /v1/faults", obey(func(o FaultOrder) (any, error) { return o, s.AddFault(o) }))
	mux.HandleFunc("POST /v1/usage", obey(func(o UsageOrder) (any, error) { return s.OCI.usage.obey(o) }))
	mux.HandleFunc("DELETE /v1/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.OCIFaults.Clear()
		s.S3Faults.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// obey reads an order, and answers with what came of it or why it is none.
func obey[Order any](act func(Order) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var order Order
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&order)
		if err != nil {
			err = fmt.Errorf("read the order: %w", err)
		}
		var answer any
		if err == nil {
			answer, err = act(order)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, answer)
	}
}

// A ReportOrder asks for new reports.
type ReportOrder struct {
	Count int    `json:"count"`
	Size  int64  `json:"size,omitempty"` // bytes of random data; 0: FOCUS reports
	Days  int    `json:"days,omitempty"` // report days that they are spread over; default 1
	Day   string `json:"day,omitempty"`  // the last of those, YYYY-MM-DD; default today
}

// AddReports adds reports with numbers that were never used, and returns their names.
func (s *Simulation) AddReports(o ReportOrder) (names []string, err error) {
	last := s.S3.Clock()
	if o.Day != "" {
		if last, err = time.Parse(time.DateOnly, o.Day); err != nil {
			return nil, fmt.Errorf("day %q: write it as YYYY-MM-DD", o.Day)
		}
	}
	days := max(o.Days, 1)
	if o.Count < 1 || o.Count > 100_000 || o.Size < 0 || o.Days < 0 {
		return nil, fmt.Errorf("count %d, size %d, days %d: give a count of 1 to 100000, and no negative numbers", o.Count, o.Size, o.Days)
	}
	for i := range o.Count {
		day := last.AddDate(0, 0, -(i % days))
		name := ReportName(day, firstAdded+7*s.added.Add(1), 1)
		s.Source.Add(Object{Name: name, Content: s.content(name, day, o.Size)})
		names = append(names, name)
	}
	return names, nil
}

// content is made for a name and a size; each call makes another one.
func (s *Simulation) content(name string, day time.Time, size int64) Content {
	seed := nameSeed(fmt.Sprint(s.added.Add(1), name))
	if size == 0 {
		return FocusReport(seed, day, 200)
	}
	return Random(seed, size)
}

// An OverwriteOrder asks for other bytes under a name that exists.
type OverwriteOrder struct {
	Name string `json:"name"`
	Size int64  `json:"size,omitempty"` // default that of the present content
}

// Overwrite replaces the content of a report, which gets a new ETag.
func (s *Simulation) Overwrite(o OverwriteOrder) (Report, error) {
	old, ok := s.Source.lookup(o.Name)
	if !ok {
		return Report{}, fmt.Errorf("%q is not in the bucket", o.Name)
	}
	if o.Size < 0 {
		return Report{}, errors.New("size is negative")
	}
	if o.Size == 0 {
		o.Size = old.Content.Size()
	}
	s.Source.Add(Object{Name: o.Name, Content: s.content(o.Name, old.Created, o.Size), Created: old.Created})
	report, _ := s.Source.Report(o.Name)
	return report, nil
}

// A FaultOrder is a Rule in words. Fault is a kind as the counts name it.
type FaultOrder struct {
	Side  string  `json:"side"` // oci or s3
	Op    string  `json:"op,omitempty"`
	Name  string  `json:"name,omitempty"`
	After int     `json:"after,omitempty"`
	Times int     `json:"times,omitempty"`
	Every float64 `json:"every,omitempty"`

	Fault   string `json:"fault"`
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`   // of a status, such as ServiceUnavailable
	Bytes   int64  `json:"bytes,omitempty"`  // where in the body, how many, or how many at once
	Pause   string `json:"pause,omitempty"`  // such as 200ms; of a status: Retry-After
	Pieces  int    `json:"pieces,omitempty"` // of a slow complete
	Applied bool   `json:"applied,omitempty"`
}

// AddFault puts a rule in force until the faults are cleared.
func (s *Simulation) AddFault(o FaultOrder) error {
	faults := map[string]*Faults{"oci": s.OCIFaults, "s3": s.S3Faults}[o.Side]
	if faults == nil {
		return fmt.Errorf("side %q: use oci or s3", o.Side)
	}
	fault, err := o.fault()
	if err != nil {
		return err
	}
	if o.Applied {
		fault = fault.Applied()
	}
	faults.Add(Rule{Op: o.Op, Name: o.Name, After: o.After, Times: o.Times, Every: o.Every, Do: fault})
	return nil
}

func (o FaultOrder) fault() (Fault, error) {
	var pause time.Duration
	if o.Bytes < 0 {
		return Fault{}, errors.New("bytes is negative")
	}
	if o.Pause != "" {
		var err error
		if pause, err = time.ParseDuration(o.Pause); err != nil || pause < 0 {
			return Fault{}, fmt.Errorf("pause %q: write it as 200ms or 5s", o.Pause)
		}
	}
	switch {
	case o.Fault == "status" && o.Status >= 200 && o.Status <= 599 && pause > 0:
		return Status(o.Status, o.Code, pause), nil
	case o.Fault == "status" && o.Status >= 200 && o.Status <= 599:
		return Status(o.Status, o.Code), nil
	case o.Fault == "latency":
		return Latency(pause), nil
	case o.Fault == "reset" && o.Bytes > 0:
		return ResetAfterBytes(o.Bytes), nil
	case o.Fault == "reset":
		return Reset(), nil
	case o.Fault == "lost":
		return Lost(), nil
	case o.Fault == "stall":
		return Stall(o.Bytes, nil), nil
	case o.Fault == "trickle" && o.Bytes > 0:
		return Trickle(int(o.Bytes), pause), nil
	case o.Fault == "truncate":
		return Truncate(o.Bytes, KeepLength), nil
	case o.Fault == "extend":
		return Extend(o.Bytes), nil
	case o.Fault == "flip":
		return FlipBit(o.Bytes), nil
	case o.Fault == "empty complete":
		return EmptyComplete200(), nil
	case o.Fault == "slow complete":
		return SlowComplete(o.Pieces, pause), nil
	}
	return Fault{}, fmt.Errorf("fault %q: use status (with status 200 to 599), latency, reset, lost, stall, trickle (with bytes), "+
		"truncate, extend, flip, empty complete or slow complete", o.Fault)
}
