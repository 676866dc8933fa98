package nats_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// connect tries for two seconds.
func connect(t *testing.T, o nats.Options) (*nats.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	o.Name = "scanner/host"
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	c, err := nats.Connect(ctx, o)
	if c != nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func url(srv *natstest.Server) []string { return []string{srv.Running().ClientURL()} }

func wantUnauthenticated(t *testing.T, what string, err error) {
	t.Helper()
	fault, ok := errors.AsType[*messages.Fault](err)
	if !ok || fault.Class != messages.Unauthenticated || !strings.Contains(fault.Remedy, "nats.") {
		t.Errorf("%s: Connect = %v, want unauthenticated with a remedy", what, err)
	}
}

func TestPassword(t *testing.T) {
	srv := natstest.New(t, natstest.Listen(), func(o *server.Options) { o.Username, o.Password = "u", "secret" })
	host := strings.TrimPrefix(url(srv)[0], "nats://")
	if _, err := connect(t, nats.Options{URLs: []string{"nats://u:secret@" + host}}); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	_, err := connect(t, nats.Options{URLs: []string{"nats://u:wrong@" + host}})
	wantUnauthenticated(t, "wrong password", err)
	if err != nil && strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error shows the password: %v", err)
	}
	_, err = connect(t, nats.Options{URLs: url(srv)})
	wantUnauthenticated(t, "no credentials", err)
}

func TestNKey(t *testing.T) {
	known, unknown := must(nkeys.CreateUser()), must(nkeys.CreateUser())
	srv := natstest.New(t, natstest.Listen(), func(o *server.Options) {
		o.Nkeys = []*server.NkeyUser{{Nkey: must(known.PublicKey())}}
	})
	if _, err := connect(t, nats.Options{URLs: url(srv), NKeyFile: seedFile(t, known)}); err != nil {
		t.Errorf("with the right nkey: %v", err)
	}
	_, err := connect(t, nats.Options{URLs: url(srv), NKeyFile: seedFile(t, unknown)})
	wantUnauthenticated(t, "unknown nkey", err)
	_, err = connect(t, nats.Options{URLs: url(srv), NKeyFile: filepath.Join(t.TempDir(), "absent")})
	wantUnauthenticated(t, "absent file", err)
	_, err = connect(t, nats.Options{URLs: url(srv), NKeyFile: writeFile(t, []byte("no seed"))})
	wantUnauthenticated(t, "no seed in the file", err)
}

func TestCredentialsFile(t *testing.T) {
	operator, account, system := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount())
	resolver := &server.MemAccResolver{}
	for _, kp := range []nkeys.KeyPair{account, system} {
		claims := jwt.NewAccountClaims(must(kp.PublicKey()))
		if kp == account {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		if err := resolver.Store(claims.Subject, must(claims.Encode(operator))); err != nil {
			t.Fatal(err)
		}
	}
	operatorClaims := jwt.NewOperatorClaims(must(operator.PublicKey()))
	operatorClaims.SystemAccount = must(system.PublicKey())
	srv := natstest.New(t, natstest.Listen(), func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{operatorClaims}
		o.SystemAccount = must(system.PublicKey())
		o.AccountResolver = resolver
	})
	creds := func(signer nkeys.KeyPair, expires time.Time) string {
		user := must(nkeys.CreateUser())
		claims := jwt.NewUserClaims(must(user.PublicKey()))
		claims.IssuerAccount = ""
		claims.Expires = expires.Unix()
		return writeFile(t, must(jwt.FormatUserConfig(must(claims.Encode(signer)), must(user.Seed()))))
	}
	c, err := connect(t, nats.Options{URLs: url(srv), Creds: creds(account, time.Now().Add(time.Hour))})
	if err != nil {
		t.Fatalf("with the right credentials: %v", err)
	}
	natstest.Setup(t, c, "focus", "main", time.Minute)
	_, err = connect(t, nats.Options{URLs: url(srv), Creds: creds(account, time.Now().Add(-time.Hour))})
	wantUnauthenticated(t, "expired", err)
	_, err = connect(t, nats.Options{URLs: url(srv), Creds: creds(must(nkeys.CreateAccount()), time.Now().Add(time.Hour))})
	wantUnauthenticated(t, "of an unknown account", err)
	_, err = connect(t, nats.Options{URLs: url(srv), Creds: filepath.Join(t.TempDir(), "absent")})
	wantUnauthenticated(t, "absent file", err)
}

func TestTLS(t *testing.T) {
	ca, key := issue(t, nil, nil)
	serverCert, serverKey := issue(t, ca, key)
	clientCert, clientKey := issue(t, ca, key)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	srv := natstest.New(t, natstest.Listen(), func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 2
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{serverCert.Raw}, PrivateKey: serverKey}},
			ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert,
		}
	})
	caFile, certFile, keyFile := pemFile(t, "CERTIFICATE", ca.Raw), pemFile(t, "CERTIFICATE", clientCert.Raw), pemFile(t, "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(clientKey)))
	if _, err := connect(t, nats.Options{URLs: url(srv), CA: caFile, Cert: certFile, Key: keyFile}); err != nil {
		t.Errorf("with the right certificates: %v", err)
	}
	other, _ := issue(t, nil, nil)
	for what, o := range map[string]nats.Options{
		"unknown ca":            {CA: pemFile(t, "CERTIFICATE", other.Raw), Cert: certFile, Key: keyFile},
		"no client certificate": {CA: caFile},
	} {
		o.URLs = url(srv)
		if _, err := connect(t, o); messages.ClassOf(err) != messages.Queue || !containsAll(err, "nats.tls") {
			t.Errorf("%s: Connect = %v, want class queue and a remedy", what, err)
		}
	}
	_, err := connect(t, nats.Options{URLs: url(srv), CA: filepath.Join(t.TempDir(), "absent")})
	if !containsAll(err, "nats.tls.ca") {
		t.Errorf("absent ca: %v, want the setting", err)
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	for version, ok := range map[string]bool{
		"2.12.5": false, "2.11.99": false, "1.99.99": false, "nonsense": false,
		"2.12.6": true, "2.12.7-RC.1": true, "2.13.0": true, "3.0.0": true,
	} {
		_, err := connect(t, nats.Options{URLs: []string{claiming(t, srv, version)}})
		if ok && err != nil {
			t.Errorf("server %s: %v, want none", version, err)
		}
		if !ok && (messages.ClassOf(err) != messages.Queue || !containsAll(err, version, "2.12.6", "upgrade")) {
			t.Errorf("server %s: %v, want the version found, the one needed and a remedy", version, err)
		}
	}
}

func TestAServerWithoutJetStreamIsRefused(t *testing.T) {
	srv := natstest.New(t, func(o *server.Options) { o.JetStream = false })
	_, err := connect(t, nats.Options{InProcess: srv})
	if messages.ClassOf(err) != messages.Queue || !containsAll(err, "-js") {
		t.Errorf("Connect = %v, want class queue and a remedy", err)
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	urls := url(srv)
	srv.Stop()
	_, err := connect(t, nats.Options{URLs: urls})
	if messages.ClassOf(err) != messages.Queue || !containsAll(err, "nats.url") {
		t.Errorf("Connect to nobody = %v, want class queue and a remedy", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := nats.Connect(ctx, nats.Options{URLs: urls}); !errors.Is(err, context.Canceled) {
		t.Errorf("Connect when cancelled = %v, want the error of its context", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := connect(t, nats.Options{URLs: urls}); err != nil {
			t.Errorf("Connect to a server that starts meanwhile = %v", err)
		}
	})
	srv.Restart(t)
	wg.Wait()
}

func TestABadURLIsAnErrorAtOnce(t *testing.T) {
	begin := time.Now()
	if _, err := connect(t, nats.Options{URLs: []string{"nats://[::1"}}); messages.ClassOf(err) != messages.Queue || time.Since(begin) > time.Second {
		t.Errorf("Connect = %v after %v, want an error at once", err, time.Since(begin))
	}
}

// The permissions are those of a scanner that may do too little.
func TestARefusedOperationIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := natstest.New(t, func(o *server.Options) {
			o.Users = []*server.User{
				{Username: "admin", Password: "a"},
				{Username: "u", Password: "p", Permissions: &server.Permissions{
					Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.>"}},
					Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_scanner.>"}},
				}},
			}
		})
		admin, err := connect(t, nats.Options{InProcess: srv, URLs: []string{"nats://admin:a@x"}})
		if err != nil {
			t.Fatal(err)
		}
		natstest.Setup(t, admin, "focus", "main", time.Minute)
		var log bytes.Buffer
		c, err := connect(t, nats.Options{
			InProcess: srv, URLs: []string{"nats://u:p@x"}, InboxPrefix: "_INBOX_scanner",
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatalf("a role that may not ask for the account: %v", err)
		}
		begin := time.Now()
		_, err = c.Publisher("focus").Publish(t.Context(), messages.Live, file("a"))
		if messages.ClassOf(err) != messages.Queue || !containsAll(err, "ermissions", "focus.files.live.main.a", "grant") {
			t.Errorf("Publish = %v, want the permission that lacks", err)
		}
		if got := time.Since(begin); got > 6*time.Second {
			t.Errorf("refused after %v, want no second try", got)
		}
		if err := c.Health(); !containsAll(err, "ermissions", "grant") {
			t.Errorf("Health = %v, want the permission that lacks", err)
		}
		time.Sleep(2 * time.Minute)
		if err := c.Health(); err != nil {
			t.Errorf("Health two minutes later = %v, want nil", err)
		}
		c.Close()
		if !strings.Contains(log.String(), "focus.files.live.main.a") {
			t.Errorf("the log lacks the violation: %s", log.String())
		}
	})
}

// Credentials are rotated at the server first: the connection must outlive it.
func TestRefusedCredentialsAreTriedForEver(t *testing.T) {
	password := func(p string) natstest.Option {
		return func(o *server.Options) { o.Username, o.Password = "u", p }
	}
	srv := natstest.New(t, natstest.Listen(), password("old"))
	c, err := connect(t, nats.Options{URLs: []string{strings.Replace(url(srv)[0], "//", "//u:old@", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	srv.Restart(t, password("new"))
	refused := func() bool { return messages.ClassOf(c.Health()) == messages.Unauthenticated }
	if err := natstest.Until(refused); err != nil || !containsAll(c.Health(), "nats.creds") {
		t.Errorf("Health = %v, want unauthenticated with a remedy", c.Health())
	}
	// By itself the library gives up after the second refusal.
	if err := natstest.Until(func() bool { return c.NATS().Stats().Reconnects >= 4 }); err != nil {
		t.Error(err)
	}
	srv.Restart(t, password("old"))
	if err := natstest.Until(func() bool { return c.Health() == nil }); err != nil {
		t.Errorf("Health = %v, want nil", c.Health())
	}
}
