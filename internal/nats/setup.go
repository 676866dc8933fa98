package nats

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/failpoint"
	"oracle-focus-agent/messages"
)

// Manage says what Setup may do, as nats.manage in the configuration.
type Manage string

// Create makes and upgrades the assets, Verify only compares them, None does not
// even ask.
const (
	Create Manage = "create"
	Verify Manage = "verify"
	None   Manage = "none"
)

// A Report lists what Setup did, by the names of the assets.
type Report struct {
	Created, Updated, Unchanged []string
}

// MissingError means that assets do not exist, and that Setup may not make them.
type MissingError struct{ Assets []string }

func (e *MissingError) Error() string {
	return "the nats server lacks " + strings.Join(e.Assets, ", ") + "; run `oracle-focus-agent setup`"
}

const (
	remedySetup  = "run `oracle-focus-agent setup`, or set nats.ack_wait and nats.replicas as the server has them"
	remedyHand   = "change them back with the nats command line, or use another nats.prefix"
	remedyLedger = "stop the agents, run `oracle-focus-agent state export -o ledger.jsonl`, delete the asset, run `oracle-focus-agent setup` and `oracle-focus-agent state import ledger.jsonl`: without the ledger it is not known what was sent"
	remedyStone  = "stop the agents, delete the asset and run `oracle-focus-agent setup`: the next scan rebuilds what it held"
)

// Setup brings the assets to what a defines. What exists is compared field by
// field: an asset of a lower schema is upgraded; of the same schema only the ack
// wait and the replicas follow the configuration, and any other difference is
// somebody's decision, which is not overruled: a *DifferenceError. One of a higher
// schema is as a newer version wants it, which sees to it that the version before
// can work with it; only the ack wait and the replicas are looked at. All is read
// before anything is changed. Repeating it after a crash is harmless.
func Setup(ctx context.Context, c *Conn, a messages.Assets, m Manage) (Report, error) {
	var r Report
	if m == None {
		return r, nil
	}
	changes, err := planAll(ctx, c, a, m)
	if err != nil {
		return r, err
	}
	if err := refused(changes, m); err != nil {
		return r, err
	}
	for _, ch := range changes {
		if err := ch.apply(ctx, c, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

func planAll(ctx context.Context, c *Conn, a messages.Assets, m Manage) (changes []change, err error) {
	for _, s := range assetsOf(a) {
		ch, err := s.plan(ctx, c, m)
		if err != nil {
			return nil, err
		}
		changes = append(changes, ch)
	}
	return changes, nil
}

// An asset knows how to plan for itself.
type asset interface {
	plan(context.Context, *Conn, Manage) (change, error)
}

type (
	streamAsset   struct{ wants jetstream.StreamConfig }
	consumerAsset struct {
		stream string
		wants  jetstream.ConsumerConfig
	}
)

func assetsOf(a messages.Assets) []asset {
	return []asset{
		streamAsset{streamConfig(a.Files)}, streamAsset{streamConfig(a.Dead)}, streamAsset{bucketConfig(a.State)},
		consumerAsset{a.Live.Stream, consumerConfig(a.Live)}, consumerAsset{a.Backfill.Stream, consumerConfig(a.Backfill)},
	}
}

// A change is what is to be done about one asset.
type change struct {
	name    string
	missing bool
	// schema is the number in the metadata of the asset, 0 where it has none.
	schema      int
	differences []Difference
	// refused are those of the differences that keep Setup from doing anything.
	refused []Difference
	// do is nil where nothing is to be done.
	do func(context.Context) error
}

func (s streamAsset) plan(ctx context.Context, c *Conn, m Manage) (change, error) {
	ch := change{name: "stream " + s.wants.Name}
	var info *jetstream.StreamInfo
	err := c.call(ctx, "look up "+ch.name, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, s.wants.Name)
		if err == nil {
			info = stream.CachedInfo()
		}
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		ch.missing = true
		ch.do = func(ctx context.Context) error { _, err := c.js.CreateStream(ctx, s.wants); return err }
		return ch, nil
	}
	if err != nil {
		return ch, err
	}
	next, changed := decide(&ch, info.Config, s.wants, info.Config.Metadata, m)
	if changed {
		next.Metadata = merge(info.Config.Metadata)
		ch.do = func(ctx context.Context) error { _, err := c.js.UpdateStream(ctx, next); return err }
	}
	return ch, nil
}

func (s consumerAsset) plan(ctx context.Context, c *Conn, m Manage) (change, error) {
	ch := change{name: "consumer " + s.wants.Name}
	var info *jetstream.ConsumerInfo
	err := c.call(ctx, "look up "+ch.name, func(ctx context.Context) error {
		consumer, err := c.js.Consumer(ctx, s.stream, s.wants.Name)
		if err == nil {
			info = consumer.CachedInfo()
		}
		return err
	})
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		ch.missing = true
		ch.do = func(ctx context.Context) error { _, err := c.js.CreateConsumer(ctx, s.stream, s.wants); return err }
		return ch, nil
	}
	if errors.Is(err, jetstream.ErrNotPullConsumer) {
		ch.refused = []Difference{{Asset: ch.name, Field: "deliver_subject", Has: "a push consumer", Wants: "a pull consumer", Immutable: true}}
		return ch, nil
	}
	if err != nil {
		return ch, err
	}
	next, changed := decide(&ch, info.Config, s.wants, info.Config.Metadata, m)
	if changed {
		next.Metadata = merge(info.Config.Metadata)
		ch.do = func(ctx context.Context) error { _, err := c.js.UpdateConsumer(ctx, s.stream, next); return err }
	}
	return ch, nil
}

// decide puts into ch what must be refused, and returns the configuration to
// update to, if any.
func decide[T any](ch *change, has, wants T, metadata map[string]string, m Manage) (next T, changed bool) {
	ch.schema = schemaOf(metadata)
	differences := compare(ch.name, has, wants)
	if ch.schema > messages.AssetSchema {
		differences = slices.DeleteFunc(differences, func(d Difference) bool { return !adjustable(d.Field) })
	}
	ch.differences = differences
	upgrade := ch.schema < messages.AssetSchema
	for _, d := range differences {
		if m == Verify || d.Immutable || !upgrade && !adjustable(d.Field) {
			ch.refused = append(ch.refused, d)
		}
	}
	return adopt(has, wants, differences), m == Create && (upgrade || len(differences) > 0)
}

// merge keeps the metadata of others, and a schema number above ours.
func merge(has map[string]string) map[string]string {
	out := ours(has)
	if schemaOf(has) < messages.AssetSchema {
		if out == nil {
			out = map[string]string{}
		}
		maps.Copy(out, metadata())
	}
	return out
}

// refused returns why nothing may be done, or nil.
func refused(changes []change, m Manage) error {
	var missing []string
	var differences []Difference
	for _, ch := range changes {
		if ch.missing && m == Verify {
			missing = append(missing, ch.name)
		}
		differences = append(differences, ch.refused...)
	}
	var errs []error
	if len(missing) > 0 {
		errs = append(errs, &MissingError{missing})
	}
	if len(differences) > 0 {
		errs = append(errs, &DifferenceError{differences, remedyFor(differences, m)})
	}
	return errors.Join(errs...)
}

func remedyFor(differences []Difference, m Manage) string {
	isLedger := func(d Difference) bool { return d.Immutable && strings.HasPrefix(d.Asset, "stream KV_") }
	switch {
	case slices.ContainsFunc(differences, isLedger):
		return remedyLedger
	case slices.ContainsFunc(differences, func(d Difference) bool { return d.Immutable }):
		return remedyStone
	case m == Verify:
		return remedySetup
	}
	return remedyHand
}

func (ch change) apply(ctx context.Context, c *Conn, r *Report) error {
	if ch.do == nil {
		r.Unchanged = append(r.Unchanged, ch.name)
		return nil
	}
	verb, done := "update", &r.Updated
	if ch.missing {
		verb, done = "create", &r.Created
	}
	err := c.call(ctx, verb+" "+ch.name, ch.do)
	if apiCode(err) != 0 {
		return &messages.Fault{
			Class: messages.Queue, Op: verb + " " + ch.name, Err: err,
			Remedy: "check nats.replicas, the limits of the account, and that no other stream takes these subjects",
		}
	}
	if err != nil {
		return err
	}
	*done = append(*done, ch.name)
	if ch.missing {
		failpoint.Reach(created(ch.name))
	}
	return nil
}

// created is the point behind the creation of an asset.
func created(name string) failpoint.Point {
	switch {
	case strings.HasPrefix(name, "stream KV_"):
		return failpoint.BucketCreated
	case strings.HasPrefix(name, "stream "):
		return failpoint.StreamCreated
	}
	return failpoint.ConsumerCreated
}

// RecreateConsumers makes both consumers anew, so that every message that was
// lent to a process that is gone is there to be taken at once. It is only for a
// server that nobody else can reach: another worker's loans would be doubled.
// The server counts deliveries from 1 again; of messages older than this, c says
// that they were delivered before, since it can no longer be known. A crash
// between leaves a consumer missing, which the next Setup creates. The consumers of a
// route that is paused are made so, before any slot can take a message.
func RecreateConsumers(ctx context.Context, c *Conn, a messages.Assets, p *messages.Pause) error {
	c.recreated.Store(time.Now().UnixNano())
	for _, consumer := range []messages.Consumer{a.Live, a.Backfill} {
		err := c.call(ctx, "recreate consumer "+consumer.Name, func(ctx context.Context) error {
			err := c.js.DeleteConsumer(ctx, consumer.Stream, consumer.Name)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return err
			}
			_, err = c.js.CreateConsumer(ctx, consumer.Stream, holding(consumerConfig(consumer), p))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
