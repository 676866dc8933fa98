package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// A Status is what the queue looks like at one moment.
type Status struct {
	// Connected is false where the server could not be asked; the counts are then zero.
	Connected       bool
	Server, Version string
	// Leader is the server of a cluster that keeps the queue at the moment, and Lagging
	// are those replicas of it that are away or behind; both are empty for one server.
	Leader         string
	Lagging        []string
	Live, Backfill LaneStatus
	// Messages are all in the queue, of every route; Dead are the dead letters of every route.
	Messages, Dead uint64
	// Records are the keys in the ledger, of every route.
	Records uint64
}

// A LaneStatus counts the messages of one lane of the route.
type LaneStatus struct {
	Waiting  uint64 // not handed out yet
	InFlight int    // lent to a worker, or waiting for the delay of a retry
	Workers  int    // idle workers that wait for a message
	// Oldest is when the oldest of all these messages was queued; zero where there is none.
	Oldest time.Time
}

// Status asks the server. Its error is that of the connection, or of the first
// call that failed; what was learnt until then is returned with it.
func (c *Conn) Status(ctx context.Context, a messages.Assets) (s Status, err error) {
	if err := c.connected(); err != nil {
		return s, err
	}
	s.Connected, s.Server, s.Version = true, c.nc.ConnectedServerName(), c.nc.ConnectedServerVersion()
	files, err := c.stream(ctx, a.Files.Name)
	if err != nil {
		return s, err
	}
	s.Messages = files.State.Msgs
	s.Leader, s.Lagging = replicas(files.Cluster)
	dead, err := c.stream(ctx, a.Dead.Name)
	if err != nil {
		return s, err
	}
	s.Dead = dead.State.Msgs
	ledger, err := c.stream(ctx, "KV_"+a.State.Name)
	if err != nil {
		return s, err
	}
	s.Records = ledger.State.NumSubjects
	if s.Live, err = c.lane(ctx, a.Live); err != nil {
		return s, err
	}
	s.Backfill, err = c.lane(ctx, a.Backfill)
	return s, err
}

func (c *Conn) stream(ctx context.Context, name string) (info *jetstream.StreamInfo, err error) {
	err = c.call(ctx, "look up stream "+name, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, name)
		if err == nil {
			info = s.CachedInfo()
		}
		return err
	})
	return info, err
}

func replicas(cluster *jetstream.ClusterInfo) (leader string, lagging []string) {
	if cluster == nil || len(cluster.Replicas) == 0 {
		return "", nil
	}
	for _, r := range cluster.Replicas {
		if r.Offline || !r.Current {
			lagging = append(lagging, r.Name)
		}
	}
	return cluster.Leader, lagging
}

func (c *Conn) lane(ctx context.Context, l messages.Consumer) (LaneStatus, error) {
	var info *jetstream.ConsumerInfo
	err := c.call(ctx, "look up consumer "+l.Name, func(ctx context.Context) error {
		consumer, err := c.js.Consumer(ctx, l.Stream, l.Name)
		if err == nil {
			info = consumer.CachedInfo()
		}
		return err
	})
	if err != nil {
		return LaneStatus{}, err
	}
	s := LaneStatus{Waiting: info.NumPending, InFlight: info.NumAckPending, Workers: info.NumWaiting}
	if s.Waiting > 0 || s.InFlight > 0 {
		s.Oldest, err = c.oldest(ctx, l)
	}
	return s, err
}

// oldest is when the first message of a lane was queued. A work queue keeps each
// message until it is settled, so that one that is lent or rests counts, too.
func (c *Conn) oldest(ctx context.Context, l messages.Consumer) (at time.Time, err error) {
	err = c.call(ctx, "look at the oldest message of "+l.Name, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, l.Stream)
		if err != nil {
			return err
		}
		msg, err := s.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(l.FilterSubject))
		if errors.Is(err, jetstream.ErrMsgNotFound) { // settled meanwhile
			return nil
		}
		if err == nil {
			at = msg.Time.UTC()
		}
		return err
	})
	return at, err
}
