package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"oracle-focus-agent/messages"
)

const (
	reconnectWait = 500 * time.Millisecond
	pingInterval  = 20 * time.Second // a dead peer is noticed after two
	dialTimeout   = 2 * time.Second
	remedyAuth    = "check nats.creds, nats.nkey_file or the user in nats.url, and that the server knows them"
)

// dial tries until a server accepts, refuses the credentials, or ctx ends.
//
// The library could retry by itself, but then hides why it fails. Why it waits is
// logged at once, and again each minute.
func dial(ctx context.Context, o Options, opts []natsgo.Option) (*natsgo.Conn, error) {
	urls, op := strings.Join(o.URLs, ","), "connect to the embedded nats"
	if o.InProcess == nil {
		op = "connect to nats at " + redact(urls)
	}
	var told time.Time
	for {
		nc, err := natsgo.Connect(urls, opts...)
		if err == nil {
			return nc, nil
		}
		f := connectFault(op, err)
		if f.Class == messages.Unauthenticated || !isNetwork(err) {
			return nil, f
		}
		if o.Log != nil && time.Since(told) > time.Minute {
			told = time.Now()
			o.Log.Warn("waiting for nats", "err", f)
		}
		if !pause(ctx, reconnectWait/2+rand.N(reconnectWait)) {
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, fmt.Errorf("%s: %w", op, ctx.Err())
			}
			return nil, f
		}
	}
}

func (c *Conn) options(o Options) ([]natsgo.Option, error) {
	opts := []natsgo.Option{
		natsgo.Name(o.Name),
		natsgo.Timeout(dialTimeout),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(reconnectWait),
		natsgo.ReconnectJitter(reconnectWait, reconnectWait),
		natsgo.PingInterval(pingInterval),
		// Credentials are renewed while we run: never give up on them.
		natsgo.IgnoreAuthErrorAbort(),
		natsgo.PermissionErrOnSubscribe(true),
		natsgo.ErrorHandler(c.onError),
		natsgo.DisconnectErrHandler(c.onDisconnect),
		natsgo.ReconnectHandler(c.onReconnect),
		natsgo.ReconnectErrHandler(c.onReconnectError),
		natsgo.ClosedHandler(c.onClosed),
	}
	if o.InboxPrefix != "" {
		opts = append(opts, natsgo.CustomInboxPrefix(o.InboxPrefix))
	}
	if o.InProcess != nil {
		return append(opts, natsgo.InProcessServer(o.InProcess)), nil
	}
	return secure(o, opts)
}

// secure adds the credentials. A file that cannot be read is an error here,
// since the library would report it as one of the network.
func secure(o Options, opts []natsgo.Option) ([]natsgo.Option, error) {
	files := []struct{ setting, path string }{
		{"nats.creds", o.Creds}, {"nats.nkey_file", o.NKeyFile},
		{"nats.tls.ca", o.CA}, {"nats.tls.cert", o.Cert}, {"nats.tls.key", o.Key},
	}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		if _, err := os.ReadFile(f.path); err != nil {
			return nil, unusable(f.setting, err)
		}
	}
	if o.Creds != "" {
		opts = append(opts, natsgo.UserCredentials(o.Creds))
	}
	if o.NKeyFile != "" {
		nkey, err := natsgo.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return nil, unusable("nats.nkey_file", err)
		}
		opts = append(opts, nkey)
	}
	if o.CA != "" {
		opts = append(opts, natsgo.RootCAs(o.CA))
	}
	if o.Cert != "" {
		opts = append(opts, natsgo.ClientCert(o.Cert, o.Key))
	}
	return opts, nil
}

func unusable(setting string, err error) error {
	return &messages.Fault{
		Class: messages.Unauthenticated, Op: "read " + setting, Err: err,
		Remedy: setting + " must name a file that this user can read, of the kind that the setting says",
	}
}

func (c *Conn) onError(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, natsgo.ErrPermissionViolation) && c.serviceViolated(err):
	case errors.Is(err, natsgo.ErrPermissionViolation):
		c.log.Error("nats refused an operation", "err", err)
		c.denied, c.deniedAt = err, time.Now()
		fire(&c.denial)
	case isAuth(err):
		// Once, not at each attempt.
		if c.lastErr == nil || c.lastErr.Error() != err.Error() {
			c.log.Error("nats refuses the credentials, trying on", "err", err)
		}
		c.lastErr = err
	default:
		c.log.Warn("nats reported an error", "err", err)
	}
}

func (c *Conn) onDisconnect(_ *natsgo.Conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fire(&c.lost)
	c.lastErr = natsgo.ErrDisconnected
	if err != nil { // else it was meant
		c.lastErr = err
		c.log.Warn("nats connection lost, reconnecting", "err", err)
	}
}

func (c *Conn) onClosed(*natsgo.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = natsgo.ErrConnectionClosed
	close(c.closed)
}

func (c *Conn) onReconnect(nc *natsgo.Conn) {
	c.log.Info("nats connection re-established", "server", nc.ConnectedServerName())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = nil
	fire(&c.renewed)
}

func (c *Conn) onReconnectError(_ *natsgo.Conn, err error) {
	c.log.Debug("nats does not accept the connection yet", "err", err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = err
}

func connectFault(op string, err error) *messages.Fault {
	if isAuth(err) {
		return &messages.Fault{Class: messages.Unauthenticated, Op: op, Err: err, Remedy: remedyAuth}
	}
	return &messages.Fault{
		Class: messages.Queue, Op: op, Err: err,
		Remedy: "check that the server runs, nats.url, nats.tls and the network between",
	}
}

func isAuth(err error) bool {
	for _, e := range []error{
		natsgo.ErrAuthorization, natsgo.ErrAuthExpired, natsgo.ErrAuthRevoked, natsgo.ErrAccountAuthExpired,
		natsgo.ErrNkeysNotSupported, natsgo.ErrNoUserCB, natsgo.ErrNkeyButNoSigCB,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	// The server's other words for it have no value of their own in the library.
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "authorization violation") || strings.Contains(text, "authentication")
}

// isNetwork reports whether trying again can help: everything but what is wrong
// with our own settings.
func isNetwork(err error) bool {
	_, bad := errors.AsType[*url.Error](err)
	return !bad && !errors.Is(err, natsgo.ErrInvalidArg) && !errors.Is(err, natsgo.ErrSecureConnWanted) &&
		!strings.Contains(err.Error(), "x509") && !strings.Contains(err.Error(), "tls:")
}

// IsAway reports whether err says that the server did not answer: that may pass by
// itself, other than what it answers.
func IsAway(err error) bool {
	return isSilence(err) || errors.Is(err, natsgo.ErrDisconnected) || errors.Is(err, natsgo.ErrConnectionReconnecting) || errors.Is(err, natsgo.ErrConnectionClosed)
}

// redact hides passwords and tokens in a list of URLs.
func redact(urls string) string {
	var out []string
	for s := range strings.SplitSeq(urls, ",") {
		_, host, ok := strings.Cut(s, "@")
		if ok {
			s = "***@" + host
		}
		out = append(out, s)
	}
	return strings.Join(out, ",")
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// MinVersion is the oldest server whose behaviour this package was written for.
const MinVersion = "2.12.6"

// checkVersion refuses servers older than MinVersion. A pre-release counts as its release.
func checkVersion(found string) error {
	have, err := parseVersion(found)
	want, _ := parseVersion(MinVersion)
	if err == nil && compareVersions(have, want) >= 0 {
		return nil
	}
	return &messages.Fault{
		Class: messages.Queue, Op: "check the version of nats-server",
		Err:    fmt.Errorf("found %q, need %s or later", found, MinVersion),
		Remedy: "upgrade nats-server",
	}
}

func parseVersion(s string) (v [3]int, err error) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return v, fmt.Errorf("%q is not a version", s)
	}
	for i, p := range parts {
		if v[i], err = strconv.Atoi(p); err != nil {
			return v, err
		}
	}
	return v, nil
}

func compareVersions(a, b [3]int) int {
	for i := range a {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return 0
}
