// Package nats is the adapter to NATS JetStream: the queue, the ledger, the dead
// letters, the definition of what they are kept in, and a server in the process
// for installations that have none.
//
// What NATS holds is a rebuildable cache: the source's listing and the objects
// at the destination are the truth. After a crash, of this process or of the
// server, a message that was lent comes again after the ack wait, a record is
// there or it is not, and nothing is ever half written.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// callTimeout bounds each single call to the server.
const callTimeout = 5 * time.Second

// Options say how to reach a server.
type Options struct {
	// URLs are the servers of one cluster; each may itself be a list with commas.
	URLs []string
	// InProcess connects without a network to a server of this process; of URLs only the user then counts.
	InProcess natsgo.InProcessConnProvider
	// Creds is the path of a credentials file, NKeyFile that of an nkey seed. Both
	// are read again at each reconnect.
	Creds, NKeyFile string
	// CA, Cert and Key are paths of PEM files.
	CA, Cert, Key string
	// Name is what operators see in lists of connections: "copier/<host>".
	Name string
	// InboxPrefix is where answers arrive, so that permissions can keep roles from
	// reading each other's; empty for the default, _INBOX.
	InboxPrefix string
	Log         *slog.Logger
}

// A Conn is a connection that reconnects for ever. While it is down, calls fail
// with a Fault of class Queue, or Unauthenticated where the server no longer
// accepts the credentials.
type Conn struct {
	nc  *natsgo.Conn
	js  jetstream.JetStream
	log *slog.Logger
	// embedded: the server is in this process, and nobody else's.
	embedded bool
	// recreated is when the consumers were made anew, in nanoseconds of Unix time;
	// 0: never by this connection.
	recreated atomic.Int64
	// closed is closed after the last callback of the library has returned.
	closed chan struct{}

	// The library's own word on its state waits for an attempt to connect that is
	// under way, seconds in all; this one never does.
	mu       sync.Mutex
	lastErr  error         // why there is no connection; nil while there is one
	denied   error         // the latest permission violation
	deniedAt time.Time     // of denied
	denial   chan struct{} // closed and replaced at each violation
	lost     chan struct{} // closed and replaced when the connection is lost
	renewed  chan struct{} // closed and replaced when it is there again
	serving  *servingAs    // nil without a service
}

// Connect returns when the server has accepted the connection, is new enough and
// has JetStream. A server that does not answer is tried again until ctx ends;
// credentials that it refuses are an error at once.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	c := &Conn{log: o.Log, closed: make(chan struct{}), embedded: o.InProcess != nil}
	c.denial, c.lost, c.renewed = make(chan struct{}), make(chan struct{}), make(chan struct{})
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	opts, err := c.options(o)
	if err != nil {
		return nil, err
	}
	if c.nc, err = dial(ctx, o, opts); err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) ready(ctx context.Context) error {
	if err := checkVersion(c.nc.ConnectedServerVersion()); err != nil {
		return err
	}
	js, err := jetstream.New(c.nc)
	if err != nil {
		return c.fault(ctx, "open jetstream", err)
	}
	c.js = js
	return c.checkJetStream(ctx)
}

// checkJetStream asks for the account. A role that may not ask is let through:
// the first real call will tell.
func (c *Conn) checkJetStream(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	denial := c.next(&c.denial)
	go func() {
		select {
		case <-denial:
			cancel()
		case <-call.Done():
		}
	}()
	_, err := c.js.AccountInfo(call)
	select {
	case <-denial:
		return nil
	default:
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return &messages.Fault{
			Class: messages.Queue, Op: "check jetstream", Err: err,
			Remedy: "start nats-server with -js, and enable jetstream for this account",
		}
	}
	return c.fault(ctx, "check jetstream", err)
}

// Close sends what is still buffered and ends the connection. It returns when
// nothing of it runs any more.
func (c *Conn) Close() {
	if c.connected() == nil {
		// FlushTimeout would share its timers between synctest bubbles.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_ = c.nc.FlushWithContext(ctx)
		cancel()
	}
	c.nc.Close()
	<-c.closed
}

// NATS is the connection itself, for what this package does not cover.
func (c *Conn) NATS() *natsgo.Conn { return c.nc }

const (
	// deniedFor is how long a permission violation counts as the present state.
	deniedFor   = time.Minute
	remedyGrant = "grant this permission to the user, or use other credentials"
)

// Health is nil while the connection is up and the server refused nothing lately.
func (c *Conn) Health() error {
	if err := c.connected(); err != nil {
		return err
	}
	if denied := c.deniedWithin(deniedFor); denied != nil {
		return &messages.Fault{Class: messages.Queue, Op: "use nats", Err: denied, Remedy: remedyGrant}
	}
	return nil
}

// connected is nil, or says why there is no connection.
func (c *Conn) connected() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastErr == nil {
		return nil
	}
	return connectFault("reach nats", c.lastErr)
}

// next returns the channel that is closed at the next event of its kind.
func (c *Conn) next(event *chan struct{}) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *event
}

// fire wakes all who wait for an event. c.mu is held.
func fire(event *chan struct{}) {
	close(*event)
	*event = make(chan struct{})
}

// call runs f with the time that a single call may take.
func (c *Conn) call(ctx context.Context, op string, f func(context.Context) error) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.fault(ctx, op, f(call))
}

// fault gives err, the outcome of a call under ctx, its class. ctx is the
// caller's: when it ended, its error is returned and nothing is blamed.
func (c *Conn) fault(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	if _, ok := errors.AsType[*messages.Fault](err); ok {
		return err
	}
	f := &messages.Fault{Class: messages.Queue, Op: op, Err: err}
	switch {
	case isAuth(err):
		f.Class, f.Remedy = messages.Unauthenticated, remedyAuth
	case isSilence(err) && c.connected() != nil:
		f.Remedy = "the connection to nats is down; it is being re-established"
	case isSilence(err):
		// A call without an answer most likely met the violation that the server
		// reported on the side.
		if denied := c.deniedWithin(2 * callTimeout); denied != nil {
			f.Err, f.Remedy = fmt.Errorf("%w (%w)", err, denied), remedyGrant
		}
	}
	return f
}

// deniedWithin is the latest permission violation, if it is not older than d.
func (c *Conn) deniedWithin(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denied == nil || time.Since(c.deniedAt) > d {
		return nil
	}
	return c.denied
}

// isSilence reports whether err says that no answer came.
func isSilence(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, natsgo.ErrTimeout) ||
		errors.Is(err, natsgo.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// apiCode is the error code that the server's JetStream answered, or 0.
func apiCode(err error) jetstream.ErrorCode {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		return e.ErrorCode
	}
	return 0
}
