package natsserver_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

const (
	today = messages.Day("2026-03-01")
	name  = "FOCUS Reports/2026/03/01/0001000002103533-00001.csv.gz"
)

// An installation is a site with its assets, made by admin.
type installation struct {
	*site
	assets        messages.Assets
	prefix, route string
}

func install(t *testing.T, prefix, route string, change ...natstest.Option) *installation {
	t.Helper()
	o := options(t.TempDir())
	o.Prefix, o.Route = prefix, route
	i := &installation{newSite(t, o, change...), messages.Define(prefix, route, 1, time.Minute), prefix, route}
	if r, err := nats.Setup(t.Context(), i.connect("admin"), i.assets, nats.Create); err != nil || len(r.Created) != 5 {
		t.Fatalf("Setup as admin = %+v, %v", r, err)
	}
	return i
}

// must fails where a role is refused what it needs.
func (i *installation) must(what string, err error) {
	i.Helper()
	if err != nil {
		i.Errorf("%s: %v", what, err)
	}
}

func (i *installation) ledger(c *nats.Conn) *nats.Ledger {
	i.Helper()
	l, err := c.Ledger(i.Context(), i.assets.State, i.route)
	if err != nil {
		i.Fatal(err)
	}
	return l
}

// begins is what every role of the program does at its start and for its probes.
func (i *installation) begins(c *nats.Conn) {
	i.Helper()
	_, err := nats.Setup(i.Context(), c, i.assets, nats.Verify)
	i.must("compare the assets", err)
	_, err = c.Status(i.Context(), i.assets)
	i.must("status", err)
	key := messages.IdentityKey(i.route)
	_, revision, err := i.ledger(c).Read(i.Context(), key)
	i.must("read the identity", err)
	_, err = i.ledger(c).Write(i.Context(), key, []byte("{}"), revision)
	i.must("write the identity", err)
	js, err := jetstream.New(c.NATS())
	i.must("open jetstream", err)
	files, err := js.Stream(i.Context(), i.assets.Files.Name)
	i.must("open the files", err)
	for _, opts := range [][]jetstream.GetMsgOpt{nil, {jetstream.WithGetMsgSubject(i.assets.Live.FilterSubject)}} {
		if _, err = files.GetMsg(i.Context(), 1, opts...); !errors.Is(err, jetstream.ErrMsgNotFound) {
			i.must("look at the oldest message", err)
		}
	}
	_, err = c.NATS().Request("$JS.API.STREAM.MSG.GET."+i.assets.Files.Name, []byte(`{"seq":1}`), 5*time.Second)
	i.must("look at the oldest message where servers allow no direct look", err)
	if _, err = files.GetLastMsgForSubject(i.Context(), i.assets.Live.FilterSubject); !errors.Is(err, jetstream.ErrMsgNotFound) {
		i.must("look at the newest message", err)
	}
}

// scans is what a scan does in NATS.
func (i *installation) scans(c *nats.Conn, names ...string) {
	i.Helper()
	l := i.ledger(c)
	_, err := l.Day(i.Context(), today)
	i.must("read a day", err)
	key := messages.MarksKey(i.route)
	_, revision, err := l.Read(i.Context(), key)
	i.must("read the marks", err)
	revision, err = l.Write(i.Context(), key, []byte("{}"), revision)
	i.must("write the marks", err)
	_, err = l.Write(i.Context(), key, []byte("{ }"), revision)
	i.must("move the marks", err)
	key = messages.VerificationKey(i.route)
	_, revision, err = l.Read(i.Context(), key)
	i.must("read the last comparison", err)
	revision, err = l.Write(i.Context(), key, []byte("{}"), revision)
	i.must("claim the next comparison", err)
	_, err = l.Write(i.Context(), key, []byte("{ }"), revision)
	i.must("write what it found", err)
	for n, lane := range []messages.Lane{messages.Live, messages.Backfill} {
		m := messages.FileDiscovered{Route: i.route, Object: messages.Object{Name: names[n], ETag: "e", Size: 1}}
		queued, err := c.Publisher(i.prefix).Publish(i.Context(), lane, m)
		i.must("queue", err)
		if _, err := c.Publisher(i.prefix).Publish(i.Context(), lane, m); err != nil || !queued {
			i.Errorf("Publish = %t, then %v, want true and no error", queued, err)
		}
	}
}

// audits is what an operator's command leaves, and how it is read again.
func (i *installation) audits(c *nats.Conn, by string) {
	i.Helper()
	i.must("put on record", i.ledger(c).Audit(i.Context(), messages.Action{Action: "failed retry", By: by, At: time.Now()}, by))
	all, _, err := i.ledger(c).Actions(i.Context())
	i.must("read the audit trail", err)
	if !slices.ContainsFunc(all, func(a messages.Action) bool { return a.By == by }) {
		i.Errorf("Actions = %+v, want that of %s", all, by)
	}
}

// pauses is how an operator pauses and resumes; scanner then lets the consumers follow.
func (i *installation) pauses(agent, scanner *nats.Conn) {
	i.Helper()
	raw, err := messages.Pause{Reason: "a test", By: "ann@host", At: time.Now()}.Encode()
	i.must("encode", err)
	key := messages.PauseKey(i.route)
	revision, err := i.ledger(agent).Write(i.Context(), key, raw, 0)
	i.must("pause", err)
	for _, c := range []*nats.Conn{scanner, agent} {
		p, err := c.ApplyPause(i.Context(), i.assets, i.ledger(c))
		i.must("hold the consumers", err)
		if p == nil {
			i.Error("ApplyPause sees no pause")
		}
	}
	_, err = i.ledger(agent).Write(i.Context(), key, nil, revision)
	i.must("resume", err)
	_, err = agent.ApplyPause(i.Context(), i.assets, i.ledger(agent))
	i.must("release the consumers", err)
}

// letters is how an operator looks at a dead letter.
func (i *installation) letters(c *nats.Conn) {
	i.Helper()
	d, err := c.DeadLetters(i.prefix).Letter(i.Context(), i.assets.Dead.Name, i.route, name)
	i.must("read a dead letter", err)
	if d == nil {
		i.Error("the dead letter is not found")
	}
}

// copies is what copying does in NATS, with a message of each lane.
func (i *installation) copies(c *nats.Conn) {
	i.Helper()
	q, l := c.Queue(i.assets), i.ledger(c)
	for _, v := range []copier.Verdict{{Act: copier.Nak}, {Act: copier.Term, Reason: "tried"}, {Act: copier.Ack}} {
		d, err := q.Next(i.Context(), true)
		i.must("take", err)
		if d == nil {
			i.Fatal("Next gave nothing")
		}
		i.must("renew", d.Renew(i.Context()))
		i.must("settle", d.Settle(i.Context(), v))
	}
	if s, err := c.Status(i.Context(), i.assets); err != nil || s.Messages > 0 {
		i.Errorf("Status = %+v, %v, want an empty queue", s, err)
	}
	_, err := c.Unstick(i.Context(), i.assets)
	i.must("look for messages that were settled and still stand", err)
	_, err = c.NATS().Request("$JS.ACK."+i.assets.Files.Name+"."+i.assets.Live.Name+".1.1.1.1.0", []byte("+ACK"), 5*time.Second)
	i.must("settle one again", err)
	record := messages.Record{Status: messages.StatusFailed, Object: messages.Object{Name: name, ETag: "e", Size: 1}, At: time.Now()}
	raw, err := record.Encode()
	i.must("encode", err)
	for _, key := range []string{messages.RecordKey(i.route, messages.Report{Day: today, Basename: filepath.Base(name)}), messages.UploadKey(i.route, name)} {
		_, before, err := l.Read(i.Context(), key)
		i.must("read "+key, err)
		revision, err := l.Write(i.Context(), key, raw, before)
		i.must("write "+key, err)
		revision, err = l.Write(i.Context(), key, raw, revision)
		i.must("replace "+key, err)
		if strings.Contains(key, ".upload.") {
			_, err = l.Write(i.Context(), key, nil, revision)
			i.must("erase "+key, err)
		}
	}
	if day, err := l.Day(i.Context(), today); err != nil || len(day) != 1 {
		i.Errorf("Day = %v, %v, want one record", day, err)
	}
	i.leases(c)
	i.must("file a dead letter", c.DeadLetters(i.prefix).Bury(i.Context(), messages.DeadLetter{Route: i.route, Name: name, Error: "tried", At: time.Now()}))
	i.must("file one of an unknown route", c.DeadLetters(i.prefix).Bury(i.Context(), messages.DeadLetter{Subject: "what?", Name: name, Error: "tried", At: time.Now()}))
}

// leases is how a worker shares the limits, and removes what a dead one held.
func (i *installation) leases(c *nats.Conn) {
	i.Helper()
	l := i.ledger(c)
	mine := l.Lease("host/1", time.Minute)
	if n, err := mine.Hold(i.Context()); err != nil || n != 1 {
		i.Errorf("Hold = %d, %v, want 1 worker", n, err)
	}
	key := messages.LimitKey(i.route, "host/2")
	revision, err := l.Write(i.Context(), key, []byte("1"), 0)
	i.must("write "+key, err)
	_, err = l.Write(i.Context(), key, nil, revision)
	i.must("erase "+key, err)
	i.must("release", mine.Release(i.Context()))
}

// watches wants to see a record that the bucket holds.
func (i *installation) watches(c *nats.Conn) {
	i.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), 10*time.Second)
	defer cancel()
	var seen nats.Entry
	err := i.ledger(c).Watch(ctx, true, func(e nats.Entry) { seen = e; cancel() })
	if err != nil || seen.Day != today {
		i.Errorf("Watch = %v, saw %+v, want the record", err, seen)
	}
	for _, err := range i.ledger(c).Records(i.Context()) {
		i.must("read the records", err)
	}
	_, err = i.ledger(c).Uploads(i.Context())
	i.must("read the open uploads", err)
	// The server asks for these only of a watch that falls behind.
	for _, subject := range []string{"$JS.FC.KV_" + i.assets.State.Name + ".w.x", "$JS.FC.hub.hash.KV_" + i.assets.State.Name + ".w.x"} {
		i.must("tell that the watch keeps up", c.NATS().Publish(subject, nil))
	}
}

// views is what the nats command line does beside what the roles of the program do.
func (i *installation) views(c *nats.Conn) {
	i.Helper()
	js, err := jetstream.New(c.NATS())
	i.must("open jetstream", err)
	streams := js.ListStreams(i.Context())
	for range streams.Info() {
	}
	i.must("list the streams", streams.Err())
	for _, name := range []string{i.assets.Files.Name, i.assets.Dead.Name, "KV_" + i.assets.State.Name} {
		stream, err := js.Stream(i.Context(), name)
		i.must("look at "+name, err)
		consumers := stream.ListConsumers(i.Context())
		for range consumers.Info() {
		}
		i.must("list the consumers of "+name, consumers.Err())
		if name == i.assets.Files.Name {
			continue
		}
		page, err := stream.CreateConsumer(i.Context(), jetstream.ConsumerConfig{Name: "page", FilterSubject: ">", AckPolicy: jetstream.AckExplicitPolicy})
		i.must("page through "+name, err)
		msg, err := page.Next()
		i.must("read of "+name, err)
		i.must("settle there", msg.DoubleAck(i.Context()))
		_, err = stream.GetLastMsgForSubject(i.Context(), msg.Subject())
		i.must("read one of "+name, err)
		i.must("end the page", stream.DeleteConsumer(i.Context(), "page"))
	}
	kv, err := js.KeyValue(i.Context(), i.assets.State.Name)
	i.must("open the bucket", err)
	keys, err := kv.Keys(i.Context())
	i.must("list the keys", err)
	_, err = kv.History(i.Context(), keys[0])
	i.must("read the history", err)
	files, dead, bucket := i.assets.Files.Name, i.assets.Dead.Name, "KV_"+i.assets.State.Name
	for _, s := range []string{
		"$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.NAMES." + files, "$JS.API.CONSUMER.NAMES." + dead, "$JS.API.CONSUMER.NAMES." + bucket,
		"$JS.API.CONSUMER.INFO." + dead + ".page", "$JS.API.CONSUMER.INFO." + bucket + ".page",
		"$JS.API.STREAM.MSG.GET." + files, "$JS.API.STREAM.MSG.GET." + dead, "$JS.API.STREAM.MSG.GET." + bucket,
		"$JS.API.DIRECT.GET." + files, "$JS.API.DIRECT.GET." + dead, "$JS.API.DIRECT.GET." + bucket,
		"$JS.API.DIRECT.GET." + files + ".x", "$JS.API.DIRECT.GET." + dead + ".x", "$SYS.REQ.USER.INFO",
	} {
		_, err := c.NATS().Request(s, []byte(`{"seq":1}`), 5*time.Second)
		i.must("ask "+s, err)
	}
	for _, s := range []string{"$JS.ACK.hub.hash." + dead + ".page.1.1.1.1.1", "$JS.ACK.hub.hash." + bucket + ".page.1.1.1.1.1", "_INBOX_viewer.x"} {
		i.must("publish to "+s, c.NATS().Publish(s, nil))
	}
	for _, subject := range []string{"$JS.EVENT.ADVISORY.>", "$JS.EVENT.METRIC.>"} {
		_, err := c.NATS().SubscribeSync(subject)
		i.must("listen to events", err)
	}
}

// serves runs the micro service of a role and asks it as viewer and agent would.
func (i *installation) serves(c, viewer, agent *nats.Conn, role string) {
	i.Helper()
	service, err := micro.AddService(c.NATS(), micro.Config{Name: i.prefix + "-" + role, Version: "1.0.0", QueueGroupDisabled: true})
	if err != nil {
		i.Fatal(err)
	}
	defer service.Stop()
	answer := micro.HandlerFunc(func(r micro.Request) { _ = r.Respond([]byte(role)) })
	subject := i.prefix + "." + role + ".status"
	i.must("add the endpoint", service.AddEndpoint("status", answer, micro.WithEndpointSubject(subject)))
	i.must("flush", c.NATS().Flush())
	about := "." + i.prefix + "-" + role
	for _, s := range []string{
		"$SRV.PING", "$SRV.PING" + about, "$SRV.PING" + about + "." + service.Info().ID,
		"$SRV.INFO", "$SRV.INFO" + about, "$SRV.STATS", "$SRV.STATS" + about + "." + service.Info().ID, subject,
	} {
		_, err := viewer.NATS().Request(s, nil, 5*time.Second)
		i.must("ask "+s, err)
	}
	_, err = agent.NATS().Request(subject, nil, 5*time.Second)
	i.must("ask "+subject, err)
}

// healthy wants that the server refused nothing on the side.
func (i *installation) healthy(c *nats.Conn, role string) {
	i.Helper()
	i.must("flush", c.NATS().Flush())
	i.must("health of "+role, c.Health())
	i.must("last error of "+role, c.NATS().LastError()) // the former is told later
}

func TestEachRoleCanDoItsWork(t *testing.T) {
	for _, i := range []*installation{
		install(t, "focus", "main"),
		install(t, "acme-1_x", "West-2", func(o *server.Options) { o.FeatureFlags = map[string]bool{server.FeatureFlagJsAckFormatV2: true} }),
	} {
		t.Run(i.prefix, func(t *testing.T) {
			i.T = t
			scanner, copier, agent, viewer := i.connect("scanner"), i.connect("copier"), i.connect("agent"), i.connect("viewer")
			for role, c := range map[string]*nats.Conn{"scanner": scanner, "copier": copier, "agent": agent} {
				i.begins(c)
				i.serves(c, viewer, agent, role)
			}
			i.scans(scanner, "a", "b")
			i.audits(scanner, "scanner")
			i.audits(agent, "agent")
			i.pauses(agent, scanner)
			i.begins(copier) // with messages in the queue
			i.copies(copier)
			day, err := i.ledger(scanner).Day(t.Context(), today)
			i.must("read a day with records", err)
			key := messages.RecordKey(i.route, messages.Report{Day: today, Basename: filepath.Base(name)})
			erased, err := i.ledger(scanner).Forget(t.Context(), key, day[filepath.Base(name)])
			i.must("forget a record", err)
			if !erased {
				t.Error("Forget erased nothing")
			}
			_, err = scanner.Remade(t.Context(), i.assets)
			i.must("compare the ages of the assets", err)
			i.scans(agent, "c", "d")
			i.copies(agent)
			i.letters(agent)
			i.watches(agent)
			_, err = viewer.Status(t.Context(), i.assets)
			i.must("status as viewer", err)
			i.watches(viewer)
			i.views(viewer)
			for role, c := range map[string]*nats.Conn{"scanner": scanner, "copier": copier, "agent": agent, "viewer": viewer} {
				i.healthy(c, role)
			}
		})
	}
}

// TestNoRoleCanDoWhatIsAnothers tries, role by role, what must be refused: to forge work
// (queue), records and answers (marks, notes, records, audit, forged), to steal work (take),
// to delete and change (change, bury, pause, hold), and to sniff (spy, events, letters, watch).
func TestNoRoleCanDoWhatIsAnothers(t *testing.T) {
	i := install(t, "focus", "main")
	i.scans(i.connect("scanner"), "a", "b")
	var (
		change = []string{
			"$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.FOCUS_FILES", "$JS.API.STREAM.DELETE.FOCUS_FILES", "$JS.API.STREAM.DELETE.KV_focus_state",
			"$JS.API.STREAM.PURGE.FOCUS_FILES", "$JS.API.STREAM.PURGE.KV_focus_state", "$JS.API.STREAM.PURGE.FOCUS_DEAD",
			"$JS.API.STREAM.MSG.DELETE.FOCUS_FILES", "$JS.API.STREAM.MSG.DELETE.FOCUS_DEAD",
			"$JS.API.STREAM.MSG.DELETE.KV_focus_state", "$JS.API.CONSUMER.DELETE.FOCUS_FILES.copiers-backfill", "$JS.API.CONSUMER.UNPIN.FOCUS_FILES.copiers-live",
			"$JS.API.STREAM.SNAPSHOT.KV_focus_state", "$JS.API.STREAM.SNAPSHOT.FOCUS_FILES", "$JS.API.STREAM.RESTORE.FOCUS_FILES",
			"$JS.API.STREAM.LEADER.STEPDOWN.FOCUS_FILES", "$JS.API.CONSUMER.LEADER.STEPDOWN.FOCUS_FILES.copiers-live", "$JS.API.STREAM.PEER.REMOVE.FOCUS_FILES",
			"$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$JS.API.ACCOUNT.PURGE.focus",
			"$JS.API.CONSUMER.CREATE.FOCUS_FILES", "$JS.API.CONSUMER.CREATE.FOCUS_FILES.mine.focus.files.live.main.>", "$JS.API.CONSUMER.DURABLE.CREATE.FOCUS_FILES.mine",
			"$JS.API.CONSUMER.DELETE.FOCUS_FILES.copiers-live", "$JS.API.CONSUMER.PAUSE.FOCUS_FILES.other", "$JS.API.CONSUMER.RESET.FOCUS_FILES.copiers-live",
			"$KV.focus_state.other.scan", "$KV.focus_state.other.2026.03.01.x", "focus.files.live.other.x", "$SYS.REQ.SERVER.PING",
		}
		take    = []string{"$JS.API.CONSUMER.MSG.NEXT.FOCUS_FILES.copiers-live", "$JS.API.CONSUMER.MSG.NEXT.FOCUS_FILES.copiers-backfill", "$JS.ACK.FOCUS_FILES.copiers-live.1.1.1.1.1"}
		queue   = []string{"focus.files.live.main.x", "focus.files.backfill.main.x"}
		marks   = []string{"$KV.focus_state.main.scan", "$KV.focus_state.main.digest", "$KV.focus_state.main.verified"}
		notes   = []string{"$KV.focus_state.main.upload.x"}
		records = append(notes, "$KV.focus_state.main.2026.03.01.x")
		audit   = []string{"$KV.focus_state.main.audit.x"}
		limit   = []string{"$KV.focus_state.main.limit.x"}
		pause   = []string{"$KV.focus_state.main.paused"}
		hold    = []string{"$JS.API.CONSUMER.PAUSE.FOCUS_FILES.copiers-live", "$JS.API.CONSUMER.PAUSE.FOCUS_FILES.copiers-backfill"}
		bury    = []string{"focus.dead.main.x"}
		watch   = []string{"$JS.API.CONSUMER.CREATE.KV_focus_state", "$JS.API.CONSUMER.CREATE.KV_focus_state.w.$KV.focus_state.>", "$JS.API.CONSUMER.DELETE.KV_focus_state.w"}
		letters = []string{"$JS.API.DIRECT.GET.FOCUS_DEAD.focus.dead.main.x", "$JS.API.STREAM.MSG.GET.FOCUS_DEAD", "$JS.API.CONSUMER.CREATE.FOCUS_DEAD.w.focus.dead.main.>"}
		forged  = []string{"_INBOX_scanner.x", "_INBOX_copier.x", "_INBOX_agent.x", "_INBOX_admin.x"}
		spy     = []string{"_INBOX.>", "_INBOX_admin.>", "focus.files.>", "focus.dead.>", "$KV.>", "$JS.ACK.>", "$JS.API.>", "$SYS.>", "_R_.>", "*.>", ">"}
		events  = []string{"$JS.EVENT.>", "$JS.EVENT.ADVISORY.>"}
		serve   = []string{"$SRV.>", "$SRV.PING.other", "focus.*.status"}
	)
	others := func(own string) (subjects []string) {
		for _, r := range []string{"scanner", "copier", "agent", "viewer"} {
			if r != own {
				subjects = append(subjects, "_INBOX_"+r+".>", "focus."+r+".status")
			}
		}
		return subjects
	}
	for _, r := range []struct {
		role               string
		publish, subscribe [][]string
	}{
		{"scanner", [][]string{change, take, notes, limit, bury, pause, watch, letters, forged}, [][]string{spy, events, serve, others("scanner")}},
		{"copier", [][]string{change, queue, marks, audit, pause, hold, watch, letters, forged}, [][]string{spy, events, serve, others("copier")}},
		{"agent", [][]string{change, forged}, [][]string{spy, events, serve, others("agent")}},
		{"viewer", [][]string{change, take, queue, marks, records, audit, limit, pause, hold, bury, forged, {"$KV.focus_state.main.meta"}}, [][]string{spy, serve, others("viewer")}},
	} {
		t.Run(r.role, func(t *testing.T) {
			nc, v := i.plain(t, r.role)
			for _, subject := range slices.Concat(r.publish...) {
				if err := nc.Publish(subject, []byte("{}")); err != nil {
					t.Fatal(err)
				}
				v.want(t, "publish", subject)
			}
			for _, subject := range slices.Concat(r.subscribe...) {
				if _, err := nc.SubscribeSync(subject); err != nil {
					t.Fatal(err)
				}
				v.want(t, "subscription", subject)
			}
		})
	}
	if s, err := i.connect("admin").Status(t.Context(), i.assets); err != nil || s.Messages != 2 || s.Dead != 0 || s.Records != 2 {
		t.Errorf("Status = %+v, %v, want what the scan left", s, err)
	}
}

// violations are what the server refused to one connection.
type violations struct {
	mu   sync.Mutex
	list []string
}

func (v *violations) add(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = append(v.list, strings.ToLower(err.Error()))
}

func (v *violations) has(verb, subject string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(v.list, func(text string) bool {
		return strings.Contains(text, "permissions violation for "+verb+` to "`+strings.ToLower(subject)+`"`)
	})
}

func (v *violations) want(t *testing.T, verb, subject string) {
	t.Helper()
	if err := natstest.Until(func() bool { return v.has(verb, subject) }); err != nil {
		t.Errorf("%s to %s is not refused", verb, subject)
	}
}

// plain connects with the key of a role, but without the product between.
func (i *installation) plain(t *testing.T, role string) (*natsgo.Conn, *violations) {
	t.Helper()
	o := i.options(role)
	key, err := natsgo.NkeyOptionFromSeed(o.NKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	v := &violations{}
	closed := make(chan struct{})
	nc, err := natsgo.Connect(i.url, key, natsgo.RootCAs(o.CA), natsgo.CustomInboxPrefix(o.InboxPrefix), natsgo.ErrorHandler(v.add),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); <-closed })
	return nc, v
}
