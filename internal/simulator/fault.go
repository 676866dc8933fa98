package simulator

import (
	"bytes"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Fault is one way in which a request goes wrong. Faults of a moment (Status,
// Latency, Reset, Stall, Hook, Reply) happen before the request is handled,
// or at the moment that AfterBytes or Applied move them to. The others change
// what flows.
type Fault struct {
	kind  string
	when  moment
	bytes int64
	act   func(x *exchange) (answered bool)        // faults of a moment
	shape func(x *exchange, next http.HandlerFunc) // the others
}

type moment int

const (
	before  moment = iota // nothing read, nothing done
	midBody               // after a number of bytes of the object flowed
	applied               // the effect is done, the response is not sent
)

// exchange is one request in the hands of a fault.
type exchange struct {
	w        http.ResponseWriter
	r        *http.Request
	call     call
	released <-chan struct{}
	served   func()
}

// AfterBytes moves a fault of a moment to the point where n bytes of the
// object have flowed: of the request's body in an upload, as it is encoded on
// the wire, else of the response's body. A fault does not happen when the body
// ends before.
func (f Fault) AfterBytes(n int64) Fault {
	f.when, f.bytes = midBody, n
	return f
}

// Applied moves a fault to the point where the request has taken effect and
// the response is ready: Reset().Applied() loses the response of a commit that
// happened.
func (f Fault) Applied() Fault {
	f.when = applied
	return f
}

// Status answers with an error of the service's own shape. A code of 200 makes
// an error in a successful response, as CompleteMultipartUpload can.
func Status(code int, word string, retryAfter ...time.Duration) Fault {
	return Fault{kind: "status " + strconv.Itoa(code), act: func(x *exchange) bool {
		if len(retryAfter) > 0 {
			x.w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter[0].Seconds())))
		}
		x.call.fail(x.w, x.r, code, word, "simulated "+word)
		return true
	}}
}

// Reply answers in any way, for pages of proxies, redirects and the like.
func Reply(h http.HandlerFunc) Fault {
	return Fault{kind: "reply", act: func(x *exchange) bool {
		h(x.w, x.r)
		return true
	}}
}

// Latency delays the request, then lets it go on.
func Latency(d time.Duration) Fault {
	return Fault{kind: "latency", act: func(x *exchange) bool {
		x.pause(d)
		return false
	}}
}

// Reset ends the connection with RST and no answer.
func Reset() Fault {
	return Fault{kind: "reset", act: func(x *exchange) bool {
		abort(x.w)
		return true
	}}
}

// ResetAfterBytes ends the connection with RST after n bytes of the body. The
// client may have received fewer, because RST overtakes data.
func ResetAfterBytes(n int64) Fault { return Reset().AfterBytes(n) }

// Lost performs the effect of the request, then ends the connection instead of
// answering.
func Lost() Fault {
	f := Reset().Applied()
	f.kind = "lost"
	return f
}

// Stall holds the connection open without a byte after n bytes of the body.
// It ends when the client gives up, the rule is removed, the server closes, or
// until closes; except for the first and third, the request then goes on.
// That a client gave up is noticed once its request's body is fully read.
func Stall(n int64, until <-chan struct{}) Fault {
	f := Fault{kind: "stall", act: func(x *exchange) bool {
		select {
		case <-x.r.Context().Done():
			abort(x.w)
			return true
		case <-x.released:
		case <-until:
		}
		return false
	}}
	if n > 0 {
		return f.AfterBytes(n)
	}
	return f
}

// Hook runs f, for example to overwrite the object between listing and
// reading; then the request goes on.
func Hook(f func()) Fault {
	return Fault{kind: "hook", act: func(*exchange) bool {
		f()
		return false
	}}
}

// Trickle lets the body flow at n bytes per interval: the request's body in an
// upload, else the response's.
func Trickle(n int, interval time.Duration) Fault {
	return Fault{kind: "trickle", shape: func(x *exchange, next http.HandlerFunc) {
		x.served()
		t := trickle{x: x, n: n, interval: interval}
		if uploads(x.r) {
			x.r.Body = &trickleReader{ReadCloser: x.r.Body, trickle: t}
			next(x.w, x.r)
			return
		}
		next(&trickleWriter{ResponseWriter: x.w, trickle: t}, x.r)
	}}
}

// Ending is how a truncated response ends.
type Ending int

// The endings of Truncate.
const (
	KeepLength Ending = iota // Content-Length promises the whole body
	NoLength                 // chunked and properly terminated: HTTP sees no fault
	CloseEnds                // no length, the end of the connection ends the body
)

// Truncate sends only the first n bytes of the response's body.
func Truncate(n int64, ending Ending) Fault {
	return Fault{kind: "truncate", shape: func(x *exchange, next http.HandlerFunc) {
		x.served()
		next(&truncator{ResponseWriter: x.w, left: n, ending: ending}, x.r)
	}}
}

// Extend sends n bytes more than the object has, with a length that says so.
func Extend(n int64) Fault {
	return Fault{kind: "extend", shape: func(x *exchange, next http.HandlerFunc) {
		x.served()
		w := &extender{ResponseWriter: x.w, n: n}
		next(w, x.r)
		w.finish()
	}}
}

// FlipBit inverts a bit of the byte at offset: of the request's body in an
// upload, else of the response's.
func FlipBit(offset int64) Fault {
	return Fault{kind: "flip", shape: func(x *exchange, next http.HandlerFunc) {
		if uploads(x.r) {
			x.r.Body = &flipReader{ReadCloser: x.r.Body, flip: flip{at: offset, served: x.served}}
			next(x.w, x.r)
			return
		}
		next(&flipWriter{ResponseWriter: x.w, flip: flip{at: offset, served: x.served}}, x.r)
	}}
}

// Rewrite changes the whole response body, for listings that repeat, loop or
// hide objects.
func Rewrite(f func(body []byte) []byte) Fault {
	return Fault{kind: "rewrite", shape: func(x *exchange, next http.HandlerFunc) {
		x.served()
		rec := newRecorder()
		next(rec, x.r)
		body := f(rec.body.Bytes())
		rec.header.Set("Content-Length", strconv.Itoa(len(body)))
		rec.replay(x.w, body)
	}}
}

// EmptyComplete200 answers a completion with white space only and makes no
// object. With Applied the object is made, only the answer is empty.
func EmptyComplete200() Fault {
	return Fault{kind: "empty complete", act: func(x *exchange) bool {
		x.w.Header().Set("Content-Type", "application/xml")
		x.w.Write([]byte(" \n \n"))
		return true
	}}
}

// SlowComplete keeps the client waiting with white space, one piece after each
// interval, before the completion happens and its answer follows. As with S3,
// the status is 200 whatever the outcome.
func SlowComplete(pieces int, interval time.Duration) Fault {
	return Fault{kind: "slow complete", shape: func(x *exchange, next http.HandlerFunc) {
		x.served()
		body, _ := io.ReadAll(x.r.Body) // now: net/http drops what is unread when an answer begins
		x.r.Body = io.NopCloser(bytes.NewReader(body))
		x.w.Header().Set("Content-Type", "application/xml")
		piece := xml.Header
		for range pieces {
			// First the pause: an answer that begins while the client's
			// transport has not seen the end of its own body breaks the
			// connection, because the AWS SDK closes that body then.
			x.pause(interval)
			io.WriteString(x.w, piece)
			http.NewResponseController(x.w).Flush()
			piece = " "
		}
		rec := newRecorder()
		next(rec, x.r)
		x.w.Write(bytes.TrimPrefix(rec.body.Bytes(), []byte(xml.Header)))
	}}
}

// pause waits, unless the client is gone or the rule is.
func (x *exchange) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.released:
	case <-x.r.Context().Done():
	}
}

// uploads tells whether the bytes of the object flow in the request.
func uploads(r *http.Request) bool {
	return (r.Method == http.MethodPut || r.Method == http.MethodPost) && r.ContentLength != 0
}

// abort ends a connection with RST.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // ends the connection as well, only more politely
	}
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
