package simulator

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// errFault ends the handling of a request that a fault has answered.
var errFault = errors.New("simulated fault")

// run handles a request under the fault.
func (f Fault) run(x *exchange, next http.HandlerFunc) {
	switch {
	case f.shape != nil:
		f.shape(x, next)
	case f.act == nil: // the zero Fault
		next(x.w, x.r)
	case f.when == applied:
		f.runApplied(x, next)
	case f.when == midBody:
		f.runMidBody(x, next)
	default:
		if !f.fire(x) {
			next(x.w, x.r)
		}
	}
}

func (f Fault) fire(x *exchange) bool {
	x.served()
	return f.act(x)
}

func (f Fault) runApplied(x *exchange, next http.HandlerFunc) {
	rec := newRecorder()
	next(rec, x.r)
	if !f.fire(x) {
		rec.replay(x.w, rec.body.Bytes())
	}
}

func (f Fault) runMidBody(x *exchange, next http.HandlerFunc) {
	trip := &trip{left: f.bytes, fire: func() bool { return f.fire(x) }}
	if uploads(x.r) {
		x.r.Body = &tripReader{ReadCloser: x.r.Body, trip: trip}
	} else {
		trip.flush = func() { http.NewResponseController(x.w).Flush() }
	}
	next(&tripWriter{ResponseWriter: x.w, trip: trip}, x.r)
}

// trip fires once when so many bytes have flowed. After a fault that answered,
// nothing flows any more.
type trip struct {
	left  int64
	fire  func() bool
	flush func() // set where the response's body is counted
	fired bool
	done  bool
}

func (t *trip) check() error {
	if t.left == 0 && !t.fired {
		t.fired = true
		if t.flush != nil {
			t.flush()
		}
		t.done = t.fire()
	}
	if t.done {
		return errFault
	}
	return nil
}

type tripReader struct {
	io.ReadCloser
	trip *trip
}

func (r *tripReader) Read(p []byte) (int, error) {
	if err := r.trip.check(); err != nil {
		return 0, err
	}
	if !r.trip.fired {
		p = p[:min(int64(len(p)), r.trip.left)]
	}
	n, err := r.ReadCloser.Read(p)
	r.trip.left -= int64(n)
	return n, err
}

type tripWriter struct {
	http.ResponseWriter
	trip *trip
}

func (w *tripWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *tripWriter) WriteHeader(status int) {
	if !w.trip.done {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *tripWriter) Write(p []byte) (int, error) {
	written := 0
	for w.trip.flush != nil && !w.trip.fired && int64(len(p)) >= w.trip.left {
		n, err := w.ResponseWriter.Write(p[:w.trip.left])
		written, p = written+n, p[n:]
		w.trip.left -= int64(n)
		if err != nil {
			return written, err
		}
		if err := w.trip.check(); err != nil {
			return written, err
		}
	}
	if w.trip.done {
		return written, errFault
	}
	n, err := w.ResponseWriter.Write(p)
	w.trip.left -= int64(n)
	return written + n, err
}

// trickle is a rate.
type trickle struct {
	x        *exchange
	n        int
	interval time.Duration
}

type trickleReader struct {
	io.ReadCloser
	trickle trickle
}

func (r *trickleReader) Read(p []byte) (int, error) {
	r.trickle.x.pause(r.trickle.interval)
	return r.ReadCloser.Read(p[:min(len(p), r.trickle.n)])
}

type trickleWriter struct {
	http.ResponseWriter
	trickle trickle
}

func (w *trickleWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *trickleWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n, err := w.ResponseWriter.Write(p[:min(len(p), w.trickle.n)])
		written, p = written+n, p[n:]
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err == nil {
			err = w.trickle.x.r.Context().Err()
		}
		if err != nil {
			return written, err
		}
		w.trickle.x.pause(w.trickle.interval)
	}
	return written, nil
}

type truncator struct {
	http.ResponseWriter
	left   int64
	ending Ending
	wrote  bool
}

func (w *truncator) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *truncator) WriteHeader(status int) {
	w.wrote = true
	if w.ending != KeepLength {
		w.Header().Del("Content-Length")
	}
	if w.ending == CloseEnds {
		w.Header().Set("Transfer-Encoding", "identity") // net/http: end by closing
	}
	w.ResponseWriter.WriteHeader(status)
	if w.ending == NoLength {
		http.NewResponseController(w.ResponseWriter).Flush() // else net/http counts a short body itself
	}
}

func (w *truncator) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	if err == nil && n < len(p) {
		err = errFault
	}
	return n, err
}

type extender struct {
	http.ResponseWriter
	n     int64
	wrote bool
}

func (w *extender) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *extender) WriteHeader(status int) {
	w.wrote = true
	if length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(length+w.n, 10))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *extender) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func (w *extender) finish() {
	io.Copy(w, Random(0, w.n).Open(0))
}

// flip counts bytes up to the one to change.
type flip struct {
	at     int64
	served func()
}

// apply changes the wanted byte if it lies in p, and moves on.
func (f *flip) apply(p []byte) {
	if f.at >= 0 && f.at < int64(len(p)) {
		p[f.at] ^= 1
		f.served()
	}
	f.at -= int64(len(p))
}

type flipReader struct {
	io.ReadCloser
	flip flip
}

func (r *flipReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.flip.apply(p[:n])
	return n, err
}

type flipWriter struct {
	http.ResponseWriter
	flip flip
}

func (w *flipWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *flipWriter) Write(p []byte) (int, error) {
	changed := bytes.Clone(p) // the writer's buffer is not ours to change
	w.flip.apply(changed)
	return w.ResponseWriter.Write(changed)
}

// recorder holds a response back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder {
	return &recorder{header: http.Header{}, status: http.StatusOK}
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

func (r *recorder) replay(w http.ResponseWriter, body []byte) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	w.Write(body)
}
