package nats_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// serve offers the service of one instance until the end of the test.
func serve(t *testing.T, c *nats.Conn, s nats.Service) (stop func()) {
	t.Helper()
	s.Prefix = "focus"
	if s.Status == nil {
		s.Status = func(context.Context) any { return map[string]string{"instance": s.Metadata["host"]} }
	}
	stop, err := c.Serve(s)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(stop)
	t.Cleanup(stop)
	if err := c.NATS().Flush(); err != nil { // else the server may not know the subscriptions yet
		t.Fatal(err)
	}
	return stop
}

// ask returns the first answers to a request.
func ask(t *testing.T, c *nats.Conn, subject string, want int) (answers []*natsgo.Msg) {
	t.Helper()
	inbox := c.NATS().NewInbox()
	sub := must(c.NATS().SubscribeSync(inbox))
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.NATS().PublishRequest(subject, inbox, nil); err != nil {
		t.Fatal(err)
	}
	for len(answers) < want {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatalf("%s: %d answers, then %v, want %d", subject, len(answers), err, want)
		}
		answers = append(answers, m)
	}
	return answers
}

func TestEveryInstanceAnswers(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	counters := func() any { return map[string]int{"transferred": 7} }
	for _, host := range []string{"a", "b"} {
		serve(t, srv.Connect(t), nats.Service{Role: "copier", Version: "v1.2.3", Metadata: map[string]string{"host": host}, Counters: counters})
	}
	serve(t, srv.Connect(t), nats.Service{Role: "scanner", Version: "(devel)", Metadata: map[string]string{"host": "c"}})
	me := srv.Connect(t)

	hosts := map[string]bool{}
	for _, m := range ask(t, me, "focus.copier.status", 2) {
		hosts[string(m.Data)] = true
	}
	if !hosts[`{"instance":"a"}`] || !hosts[`{"instance":"b"}`] {
		t.Errorf("the copiers answer %v, want both instances", hosts)
	}
	for _, m := range ask(t, me, "$SRV.INFO.focus-copier", 2) {
		var info micro.Info
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		if info.Version != "1.2.3" || info.Description == "" || info.Metadata["host"] == "" || len(info.Endpoints) != 1 || info.Endpoints[0].QueueGroup != "" {
			t.Errorf("info: %s", m.Data)
		}
	}
	for _, m := range ask(t, me, "$SRV.STATS.focus-copier", 2) {
		if !bytes.Contains(m.Data, []byte(`"data":{"transferred":7}`)) {
			t.Errorf("the statistics lack the counters: %s", m.Data)
		}
	}
	ask(t, me, "$SRV.PING", 3)

	answers, err := me.Statuses(t.Context(), "focus")
	if err != nil || len(answers) != 3 {
		t.Errorf("Statuses = %s, %v, want three answers", answers, err)
	}
	if answers, err := me.Statuses(t.Context(), "other"); err != nil || len(answers) != 0 {
		t.Errorf("Statuses of a prefix that nobody has = %s, %v, want none", answers, err)
	}
}

func TestTheServiceOutlivesARestartOfTheServer(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	c, me := srv.Connect(t), srv.Connect(t)
	serve(t, c, nats.Service{Role: "copier", Metadata: map[string]string{"host": "a"}})
	ask(t, me, "focus.copier.status", 1)
	srv.Restart(t)
	if err := natstest.Until(func() bool { return c.Health() == nil && me.Health() == nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.NATS().Flush(); err != nil { // its subscriptions are there again
		t.Fatal(err)
	}
	ask(t, me, "focus.copier.status", 1)
	ask(t, me, "$SRV.PING.focus-copier", 1)
}

// After stop nobody asks the instance: who is being asked ends, who would be asked
// next never begins, which would close the channel a second time.
func TestStopWaitsForTheAnswer(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	c, me := srv.Connect(t), srv.Connect(t)
	asked, ended := make(chan struct{}), false
	stop := serve(t, c, nats.Service{Role: "copier", Status: func(ctx context.Context) any {
		close(asked)
		<-ctx.Done()
		ended = true
		return 0
	}})
	before := c.NATS().Stats().InMsgs
	for range 2 {
		if err := me.NATS().PublishRequest("focus.copier.status", me.NATS().NewInbox(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := natstest.Until(func() bool { return c.NATS().Stats().InMsgs == before+2 }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("nobody was asked within a minute")
	}
	begin := time.Now()
	stop()
	if !ended || time.Since(begin) > time.Second {
		t.Errorf("stop returned after %v, the answer had ended: %t; want at once and after its end", time.Since(begin), ended)
	}
	if err := c.NATS().Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := me.NATS().Request("focus.copier.status", nil, 5*time.Second); err != natsgo.ErrNoResponders {
		t.Errorf("a request after the stop: %v, want nobody to answer", err)
	}
}

// A user that may do the work but not serve does the work.
func TestAServiceThatTheServerRefusesChangesNothingElse(t *testing.T) {
	for name, permissions := range map[string]*server.Permissions{
		"no subscription": {Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}}},
		"no answer":       {Publish: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := natstest.New(t, natstest.Listen(), func(o *server.Options) {
				o.Users = []*server.User{
					{Username: "admin", Password: "a"},
					{Username: "u", Password: "p", Permissions: permissions},
				}
			})
			as := func(user string, log *bytes.Buffer) *nats.Conn {
				o := nats.Options{URLs: []string{strings.Replace(url(srv)[0], "//", "//"+user+"@", 1)}}
				if log != nil {
					o.Log = slog.New(slog.NewTextHandler(log, nil))
				}
				return must(connect(t, o))
			}
			admin := as("admin:a", nil)
			natstest.Setup(t, admin, "focus", "main", time.Minute)
			var log bytes.Buffer
			c := as("u:p", &log)
			stop := serve(t, c, nats.Service{Role: "copier"})
			for range 2 { // the second round is after the refusal was seen
				for _, subject := range []string{"focus.copier.status", "$SRV.PING"} {
					_, _ = admin.NATS().Request(subject, nil, 200*time.Millisecond)
				}
				if err := c.NATS().Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if queued, err := c.Publisher("focus").Publish(t.Context(), messages.Live, file("a")); err != nil || !queued {
				t.Errorf("Publish = %t, %v, want the work to go on", queued, err)
			}
			if err := c.Health(); err != nil {
				t.Errorf("Health = %v, want nil", err)
			}
			stop()
			c.Close() // after the last callback
			if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "FOCUS_NATS_SERVICE") || strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("the log has %d warnings, want one that names the setting:\n%s", n, &log)
			}
		})
	}
}

// What the work is refused is no matter of the service.
func TestAServiceHidesNoOtherRefusal(t *testing.T) {
	srv := natstest.New(t, natstest.Listen(), func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.INFO", "_INBOX.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "$SRV.>", "focus.copier.status"}},
		}}}
	})
	c := must(connect(t, nats.Options{URLs: []string{strings.Replace(url(srv)[0], "//", "//u:p@", 1)}}))
	serve(t, c, nats.Service{Role: "copier"})
	for _, subject := range []string{"focus.files.live.main.a", "$JS.API.STREAM.INFO.FOCUS_FILES"} {
		if err := c.NATS().Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := natstest.Until(func() bool { return containsAll(c.Health(), subject) }); err != nil {
			t.Errorf("Health = %v, want the refusal of %s", c.Health(), subject)
		}
	}
	if answers, err := c.Statuses(t.Context(), "focus"); !containsAll(err, "focus.", "grant") {
		t.Errorf("Statuses without the permission to ask = %s, %v, want the permission that lacks", answers, err)
	}
}

// The service refuses a version that is not semantic.
func TestAnyVersionOfABuildCanBeServed(t *testing.T) {
	srv := natstest.New(t)
	for i, version := range []string{
		"", "(devel)", "unknown", "v1.2.3", "1.2.3", "v1.2.3-rc.1", "v2.0.0+incompatible", "abc1234", "1.2",
		"v0.0.0-20261126133939-abcdef123456", "v0.0.0-20261126133939-abcdef123456+dirty", "v1.2.4-0.20261126133939-abcdef123456",
	} {
		s := nats.Service{Role: fmt.Sprint("r", i), Version: version, Prefix: "focus", Status: func(context.Context) any { return 0 }}
		stop, err := srv.Connect(t).Serve(s)
		if err != nil {
			t.Errorf("version %q: %v", version, err)
			continue
		}
		stop()
	}
}
