//go:build failpoints

package cli

import (
	"context"
	"io"
	"iter"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/failpoint"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// listPage is how many objects a page of the source's listing holds.
const listPage = 1000

// withPoints puts the points of the crash matrix between a copier and its ports, so
// that the copier itself knows nothing of them.
func (r *route) withPoints(c *copier.Copier) *copier.Copier {
	c.Queue = crashQueue{c.Queue, r.outbox()}
	c.Ledger = crashLedger{c.Ledger, strings.TrimSuffix(messages.UploadKey(c.Route, "x"), "x"), c.Chunk}
	c.Dead = crashDead{c.Dead}
	c.Source = crashSource{c.Source, c.Chunk}
	c.Objects, c.Uploads, c.Parts = crashObjects{c.Objects}, crashUploads{c.Uploads}, crashParts{c.Parts, c.Chunk}
	c.Relays = crashRelays{c.Relays, c.Chunk}
	return c
}

// scannerWithPoints does the same for a scanner.
func (r *route) scannerWithPoints(s scanner.Scanner) scanner.Scanner {
	s.Lister, s.Ledger, s.Marks = crashLister{s.Lister, new(atomic.Int64)}, crashDays{s.Ledger}, crashMarks{s.Marks, messages.MarksKey(s.Route)}
	s.Publisher = crashPublisher{s.Publisher, r.outbox()}
	return s
}

// reached is p where the call before it has worked.
func reached(p failpoint.Point, err error) {
	if err == nil {
		failpoint.Reach(p)
	}
}

// onTheWire comes to p when a request of the context is written in whole: the server
// has or gets it, and its answer is not read yet.
func onTheWire(ctx context.Context, p failpoint.Point) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { reached(p, i.Err) }})
}

// An outbox returns what tells whether the connection has handed a message to the
// network since.
type outbox func() (sent func() bool)

func (r *route) outbox() outbox {
	nc := r.conn.NATS()
	return func() func() bool {
		before := nc.Stats().OutMsgs
		return func() bool {
			if nc.Stats().OutMsgs == before {
				return false
			}
			waiting, err := nc.Buffered()
			return err == nil && waiting == 0
		}
	}
}

// during comes to p when call has sent its message, and before anybody has looked at
// the answer. Another message of this connection that goes out in the same moment can
// make it early; then the call is under way all the same.
func (o outbox) during(p failpoint.Point, call func() error) error {
	sent, done := o(), make(chan error, 1)
	go func() { done <- call() }()
	for !sent() {
		select {
		case err := <-done: // it did not come to that
			return err
		case <-time.After(20 * time.Microsecond):
		}
	}
	failpoint.Reach(p)
	return <-done
}

type crashQueue struct {
	copier.Queue
	out outbox
}

func (q crashQueue) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	d, err := q.Queue.Next(ctx, backfill)
	if d == nil || err != nil {
		return d, err
	}
	failpoint.Reach(failpoint.Fetched)
	settle := d.Settle
	d.Settle = func(of context.Context, v copier.Verdict) error {
		if ctx.Err() != nil {
			failpoint.Reach(failpoint.Draining)
		}
		if v.Act != copier.Ack {
			err := settle(of, v)
			reached(map[copier.Act]failpoint.Point{copier.Nak: failpoint.HandedBack, copier.Term: failpoint.Terminated}[v.Act], err)
			return err
		}
		err := q.out.during(failpoint.AckSent, func() error { return settle(of, v) })
		reached(failpoint.AckConfirmed, err)
		return err
	}
	return d, nil
}

type crashLedger struct {
	copier.Ledger
	uploads string // what the keys of their notes begin with
	chunk   int64
}

func (l crashLedger) ofUpload(key string) bool { return strings.HasPrefix(key, l.uploads) }

func (l crashLedger) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	if l.ofUpload(key) {
		return l.Ledger.Read(ctx, key)
	}
	failpoint.Reach(failpoint.Validated)
	value, revision, err := l.Ledger.Read(ctx, key)
	reached(failpoint.RecordRead, err)
	return value, revision, err
}

func (l crashLedger) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	next, err := l.Ledger.Write(ctx, key, value, revision)
	if err != nil || value == nil {
		return next, err
	}
	if l.ofUpload(key) {
		failpoint.Reach(failpoint.UploadNoted)
		return next, nil
	}
	switch r, err := messages.DecodeRecord(value); {
	case err != nil || r.Status != messages.StatusCopied:
	case r.Object.Size > l.chunk:
		failpoint.Reach(failpoint.Recorded)
	default:
		failpoint.Reach(failpoint.PutRecorded)
	}
	return next, nil
}

type crashDead struct{ copier.DeadLetters }

func (l crashDead) Bury(ctx context.Context, d messages.DeadLetter) error {
	err := l.DeadLetters.Bury(ctx, d)
	reached(failpoint.Buried, err)
	return err
}

type crashSource struct {
	copier.Source
	chunk int64
}

func (s crashSource) Open(ctx context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	o, body, err := s.Source.Open(ctx, name, etag, r)
	if err != nil {
		return o, body, err
	}
	failpoint.Reach(failpoint.Opened)
	return o, &crashBody{body, r.Offset, s.chunk * 3 / 2}, nil
}

// A crashBody knows how far it is read.
type crashBody struct {
	io.ReadCloser
	at, half int64 // half: of the second part
}

func (b *crashBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := b.at
	if b.at += int64(n); before < b.half && b.at >= b.half {
		failpoint.Reach(failpoint.SecondPartHalf)
	}
	return n, err
}

type crashObjects struct{ copier.Objects }

func (o crashObjects) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	failpoint.Reach(failpoint.Buffered)
	etag, err := o.Objects.Put(onTheWire(ctx, failpoint.PutSent), key, body, m)
	reached(failpoint.PutAnswered, err)
	return etag, err
}

// Head comes to its point whatever the answer: also a refusal is one.
func (o crashObjects) Head(ctx context.Context, key string) (copier.Stored, error) {
	s, err := o.Objects.Head(ctx, key)
	failpoint.Reach(failpoint.Looked)
	return s, err
}

type crashUploads struct{ copier.Uploads }

func (u crashUploads) Create(ctx context.Context, key string, m copier.Meta) (string, error) {
	id, err := u.Uploads.Create(ctx, key, m)
	reached(failpoint.UploadCreated, err)
	return id, err
}

func (u crashUploads) Abort(ctx context.Context, key, id string) error {
	return u.Uploads.Abort(onTheWire(ctx, failpoint.AbortSent), key, id)
}

type crashParts struct {
	copier.Parts
	chunk int64
}

// Part takes the one that is shorter than the others for the last one.
func (p crashParts) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (copier.Part, error) {
	part, err := p.Parts.Part(ctx, key, id, number, body, crc32c)
	partSent(number, int64(len(body)), p.chunk, err)
	return part, err
}

func partSent(number int32, size, chunk int64, err error) {
	if number == 1 {
		reached(failpoint.FirstPart, err)
	}
	if size < chunk {
		reached(failpoint.LastPart, err)
	}
}

type crashRelays struct {
	copier.Relays
	chunk int64
}

func (r crashRelays) Relay(ctx context.Context, key, id string, number int32, s copier.Stream) (copier.Part, error) {
	part, err := r.Relays.Relay(ctx, key, id, number, s)
	partSent(number, s.Size, r.chunk, err)
	return part, err
}

func (p crashParts) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	failpoint.Reach(failpoint.Compared)
	etag, err := p.Parts.Complete(onTheWire(ctx, failpoint.CompleteSent), key, id, parts, size, crc32c)
	reached(failpoint.CompleteAnswered, err)
	return etag, err
}

type crashLister struct {
	scanner.Lister
	count *atomic.Int64 // of all stretches, several of which are listed at once
}

// List counts what it yields: an object is judged when the next one is asked for.
func (l crashLister) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		for o, err := range l.Lister.List(ctx, from) {
			switch l.count.Add(1) {
			case listPage + 1:
				failpoint.Reach(failpoint.FirstPage)
			case 4*listPage + listPage/2:
				failpoint.Reach(failpoint.FifthPageHalf)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

type crashDays struct{ scanner.Ledger }

func (l crashDays) Day(ctx context.Context, d messages.Day) (map[string]messages.Record, error) {
	records, err := l.Ledger.Day(ctx, d)
	reached(failpoint.DayRead, err)
	return records, err
}

type crashMarks struct {
	scanner.Marks
	key string // of the marks themselves, since orders are written by the same port
}

func (m crashMarks) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if key != m.key {
		return m.Marks.Write(ctx, key, value, revision)
	}
	failpoint.Reach(failpoint.MarksBefore)
	next, err := m.Marks.Write(ctx, key, value, revision)
	reached(failpoint.MarksSaved, err)
	return next, err
}

type crashPublisher struct {
	scanner.Publisher
	out outbox
}

func (p crashPublisher) Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (queued bool, err error) {
	err = p.out.during(failpoint.PublishSent, func() (err error) {
		queued, err = p.Publisher.Publish(ctx, lane, m)
		return err
	})
	reached(failpoint.Published, err)
	return queued, err
}
