package model_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

const (
	subjects = "focus" // what the subjects begin with
	route    = "main"
	ackWait  = 5 * time.Minute

	nextWait    = 2 * time.Second // that Next waits for a message
	dedupWindow = 2 * time.Minute
)

// A broker is what NATS is to scanners and copiers.
type broker interface {
	Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (bool, error)
	Next(ctx context.Context, backfill bool) (*copier.Delivery, error)
	Read(ctx context.Context, key string) ([]byte, uint64, error)
	Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Day(ctx context.Context, d messages.Day) (map[string]messages.Record, error)
	Forget(ctx context.Context, key string, r messages.Record) (bool, error)
	Bury(ctx context.Context, d messages.DeadLetter) error
	Uploads(ctx context.Context) ([]nats.OpenUpload, error)

	// remove takes the message of a file out of the queue, as an operator can do.
	remove(name string)
	// waiting is how many messages are in the queue, in flight or not.
	waiting() int
}

// A memory is a broker without a server. That it behaves as one does is a test of its
// own: TestTheBrokerIsTrue.
type memory struct {
	mu      sync.Mutex
	ackWait time.Duration
	lanes   map[messages.Lane]*lane
	ids     map[string]time.Time // until when a Msg-Id is remembered
	stored  uint64               // the last sequence of the queue
	stirred chan struct{}        // closed when there may be something to take

	ledger   map[string]value
	revision uint64
	dead     map[string]messages.DeadLetter
}

// A lane holds the messages of one consumer.
type lane struct {
	letters map[string]*letter // by subject
	again   []*letter          // to be lent again, in this order
}

type letter struct {
	subject    string
	data       []byte
	sequence   uint64
	deliveries int
	until      time.Time // of the loan, or of the delay of a nak
	waits      bool      // in again
}

type value struct {
	raw      []byte
	revision uint64
}

func newMemory(ackWait time.Duration) *memory {
	return &memory{
		ackWait: ackWait, ids: map[string]time.Time{}, stirred: make(chan struct{}),
		lanes:  map[messages.Lane]*lane{messages.Live: {letters: map[string]*letter{}}, messages.Backfill: {letters: map[string]*letter{}}},
		ledger: map[string]value{}, dead: map[string]messages.DeadLetter{},
	}
}

func (b *memory) Publish(_ context.Context, to messages.Lane, m messages.FileDiscovered) (queued bool, err error) {
	data, err := m.Encode()
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.ids[m.MsgID()]) {
		return false, nil
	}
	for which, l := range b.lanes {
		if l.letters[messages.Subject(subjects, which, m.Route, m.Object.Name)] != nil {
			return false, nil
		}
	}
	b.stored++
	subject := messages.Subject(subjects, to, m.Route, m.Object.Name)
	b.lanes[to].letters[subject] = &letter{subject: subject, data: data, sequence: b.stored}
	b.ids[m.MsgID()] = time.Now().Add(dedupWindow)
	b.stir()
	return true, nil
}

func (b *memory) stir() {
	close(b.stirred)
	b.stirred = make(chan struct{})
}

func (b *memory) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	if d := b.take(backfill); d != nil {
		return d, nil
	}
	for deadline := time.Now().Add(nextWait); time.Now().Before(deadline); {
		b.mu.Lock()
		stirred, wait := b.stirred, min(time.Until(deadline), b.lanes[messages.Live].rest())
		b.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		case <-stirred:
			timer.Stop()
		}
		if d := b.take(false); d != nil {
			return d, nil
		}
	}
	return nil, nil
}

// ready reports whether Next would return a message at once.
func (b *memory) ready(backfill bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lanes[messages.Live].first() != nil || backfill && b.lanes[messages.Backfill].first() != nil
}

func (b *memory) take(backfill bool) *copier.Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lanes[messages.Live]
	found := l.first()
	if found == nil && backfill {
		l = b.lanes[messages.Backfill]
		found = l.first()
	}
	if found == nil {
		return nil
	}
	return b.lend(l, found)
}

// first is the letter that is lent next: first those that were lent before.
func (l *lane) first() *letter {
	l.expire()
	if len(l.again) > 0 {
		return l.again[0]
	}
	var found *letter
	for _, x := range l.letters {
		if x.deliveries == 0 && (found == nil || x.sequence < found.sequence) {
			found = x
		}
	}
	return found
}

// expire ends the loans whose time is over.
func (l *lane) expire() {
	var over []*letter
	for _, x := range l.letters {
		if x.deliveries > 0 && !x.waits && !time.Now().Before(x.until) {
			over = append(over, x)
		}
	}
	slices.SortFunc(over, func(x, y *letter) int {
		return cmp.Or(x.until.Compare(y.until), cmp.Compare(x.sequence, y.sequence))
	})
	for _, x := range over {
		x.waits = true
	}
	l.again = append(l.again, over...)
}

// rest is how long it takes until a loan ends, if nothing else happens.
func (l *lane) rest() time.Duration {
	wait := nextWait
	for _, x := range l.letters {
		if x.deliveries > 0 && !x.waits {
			wait = min(wait, time.Until(x.until))
		}
	}
	return wait
}

func (l *lane) dropAgain(x *letter) {
	x.waits = false
	l.again = slices.DeleteFunc(l.again, func(y *letter) bool { return y == x })
}

func (b *memory) lend(l *lane, x *letter) *copier.Delivery {
	l.dropAgain(x)
	x.deliveries++
	x.until = time.Now().Add(b.ackWait)
	// All that a holder says is believed of a former one, too.
	there := func() bool { l.expire(); return l.letters[x.subject] == x }
	return &copier.Delivery{
		Subject: x.subject, Data: x.data, Deliveries: x.deliveries,
		Renew: func(context.Context) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if there() {
				x.until = time.Now().Add(b.ackWait)
			}
			return nil
		},
		Settle: func(_ context.Context, v copier.Verdict) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			switch {
			case !there():
			case v.Act != copier.Nak:
				delete(l.letters, x.subject)
				l.dropAgain(x)
			case v.Delay > 0:
				l.dropAgain(x)
				x.until = time.Now().Add(v.Delay)
			case !x.waits:
				x.waits, l.again = true, append(l.again, x)
				b.stir()
			}
			return nil
		},
	}
}

func (b *memory) remove(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for which, l := range b.lanes {
		if x := l.letters[messages.Subject(subjects, which, route, name)]; x != nil {
			delete(l.letters, x.subject)
			l.dropAgain(x)
		}
	}
}

func (b *memory) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lanes[messages.Live].letters) + len(b.lanes[messages.Backfill].letters)
}

// fresh is how many messages nobody has had yet.
func (b *memory) fresh() (n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lanes {
		for _, x := range l.letters {
			if x.deliveries == 0 {
				n++
			}
		}
	}
	return n
}

func (b *memory) Read(_ context.Context, key string) ([]byte, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.ledger[key]
	return bytes.Clone(v.raw), v.revision, nil
}

func (b *memory) Write(_ context.Context, key string, raw []byte, revision uint64) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.ledger[key]
	switch {
	case now.revision != revision:
		return 0, &messages.Fault{Class: messages.Conflict, Op: "write " + key, Err: fmt.Errorf("revision %d, not %d", now.revision, revision)}
	case raw == nil && revision == 0:
		return 0, nil
	}
	b.revision++
	if raw == nil {
		delete(b.ledger, key)
		return 0, nil
	}
	b.ledger[key] = value{bytes.Clone(raw), b.revision}
	return b.revision, nil
}

func (b *memory) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]messages.Record{}
	for key, v := range b.ledger {
		if !strings.HasPrefix(key, messages.DayPrefix(route, d)+".") {
			continue
		}
		_, _, base, _ := messages.ParseRecordKey(key)
		r, err := messages.DecodeRecord(v.raw)
		if err != nil {
			return nil, err
		}
		out[base] = r
	}
	return out, nil
}

func (b *memory) Forget(ctx context.Context, key string, r messages.Record) (bool, error) {
	raw, revision, _ := b.Read(ctx, key)
	want, err := r.Encode()
	if err != nil || !bytes.Equal(raw, want) {
		return false, err
	}
	_, err = b.Write(ctx, key, nil, revision)
	return err == nil, nil
}

func (b *memory) Bury(_ context.Context, d messages.DeadLetter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead[d.Name] = d
	return nil
}

// restart is what the end and the start of a server leave: it forgets the Msg-Ids of what
// is not queued any more, and that a message was handed back; then it comes after the loan.
func (b *memory) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	there := map[string]time.Time{}
	for _, l := range b.lanes {
		for _, x := range l.letters {
			m, err := messages.DecodeDiscovered(x.data)
			if err != nil {
				panic(err)
			}
			there[m.MsgID()] = b.ids[m.MsgID()]
			if x.waits = false; x.until.Before(time.Now()) {
				x.until = time.Now() // they are found at the same moment
			}
		}
		l.again = nil
	}
	b.ids = there
}

// Uploads lists the notes of uploads, by file.
func (b *memory) Uploads(context.Context) ([]nats.OpenUpload, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []nats.OpenUpload
	for _, key := range slices.Sorted(maps.Keys(b.ledger)) {
		token, ok := strings.CutPrefix(key, strings.TrimSuffix(messages.UploadKey(route, ""), "="))
		if !ok {
			continue
		}
		name, err := messages.DecodeToken(token)
		if err != nil {
			return nil, err
		}
		u, err := messages.DecodeUpload(b.ledger[key].raw)
		if err != nil {
			return nil, err
		}
		out = append(out, nats.OpenUpload{Key: key, Name: name, Upload: u, Revision: b.ledger[key].revision})
	}
	return out, nil
}
