package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// A Service is what one instance tells about itself over NATS. It takes no orders.
type Service struct {
	// Prefix is that of the assets, Role is scanner, copier or agent.
	Prefix, Role string
	// Version is that of the build, in any form.
	Version string
	// Metadata tells the instances of a role from each other.
	Metadata map[string]string
	// Status is the answer to a request. It gets statusTimeout, and ends with the service.
	Status func(context.Context) any
	// Counters stand in the statistics; nil for none. It must not wait.
	Counters func() any
}

const (
	// statusTimeout is less than callers usually wait for the answer.
	statusTimeout = 2 * time.Second
	serviceDoes   = "Oracle FOCUS reports to Umbrella: tells what one instance is doing, and takes no orders"
)

// StatusSubject is where the instances of a role are asked for their status.
func StatusSubject(prefix, role string) string { return prefix + "." + role + ".status" }

// Serve answers as a NATS micro service until stop is called, which must be before
// Close. It outlives lost connections. Without permission to subscribe nobody gets
// answers, which is logged once; nothing else depends on the service, and Health
// does not mind.
func (c *Conn) Serve(s Service) (stop func(), err error) {
	r := &replier{status: s.Status}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	c.serving = newServing(s)
	c.mu.Unlock()
	config := micro.Config{
		Name: s.Prefix + "-" + s.Role, Version: semver(s.Version), Description: serviceDoes,
		Metadata: s.Metadata, QueueGroupDisabled: true,
	}
	if s.Counters != nil {
		config.StatsHandler = func(*micro.Endpoint) any { return s.Counters() }
	}
	service, err := micro.AddService(c.nc, config)
	if err == nil {
		if err = service.AddEndpoint("status", r, micro.WithEndpointSubject(StatusSubject(s.Prefix, s.Role))); err != nil {
			err = errors.Join(err, service.Stop())
		}
	}
	if err != nil {
		r.cancel()
		return nil, fmt.Errorf("serve the status over nats: %w", err)
	}
	return func() {
		r.stop()
		// It fails only where the connection is gone, and with it the subscriptions.
		_ = service.Stop()
	}, nil
}

// A replier answers until it is stopped.
type replier struct {
	status func(context.Context) any
	ctx    context.Context
	cancel context.CancelFunc

	answering sync.Mutex
}

// Handle answers one request.
func (r *replier) Handle(req micro.Request) {
	r.answering.Lock()
	defer r.answering.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, statusTimeout)
	defer cancel()
	body, err := json.Marshal(r.status(ctx))
	if err != nil {
		_ = req.Error("500", err.Error(), nil)
		return
	}
	_ = req.Respond(body) // who asks again gets an answer when the connection is back
}

// stop returns when no answer is being made any more, and none will be.
func (r *replier) stop() {
	r.cancel()
	r.answering.Lock() // waits for the answer that is being made
	defer r.answering.Unlock()
}

// servingAs tells the violations of a service from those of the work.
type servingAs struct {
	own    string // begins the subjects that the work publishes to, beside $…
	status string
	told   bool
	// violation finds what is refused, and for which subject.
	violation *regexp.Regexp
}

func newServing(s Service) *servingAs {
	return &servingAs{
		own: s.Prefix + ".", status: StatusSubject(s.Prefix, s.Role),
		violation: regexp.MustCompile(`(?i)(publish|subscription) to "([^"]+)"`),
	}
}

// violatedBy reports whether err is about the service: one of its subscriptions,
// or an answer, which goes where the work never publishes to.
func (s *servingAs) violatedBy(err error) bool {
	if s == nil {
		return false
	}
	m := s.violation.FindStringSubmatch(err.Error())
	if m == nil {
		return false
	}
	if strings.EqualFold(m[1], "subscription") {
		return m[2] == s.status || strings.HasPrefix(m[2], micro.APIPrefix+".")
	}
	return !strings.HasPrefix(m[2], "$") && !strings.HasPrefix(m[2], s.own)
}

// serviceViolated takes a violation of the service, and reports whether it was one.
// c.mu is held.
func (c *Conn) serviceViolated(err error) bool {
	if !c.serving.violatedBy(err) {
		return false
	}
	if !c.serving.told {
		c.serving.told = true
		c.log.Warn("nats refuses the service that tells the status of this instance; all else goes on; "+
			"let the user subscribe to $SRV.> and "+c.serving.status+" and respond, or set nats.service (FOCUS_NATS_SERVICE) to false", "err", err)
	}
	return true
}

// semver brings the version of a build into the form that services must have. It is
// called once for each service.
func semver(version string) string {
	v := strings.TrimPrefix(version, "v")
	if regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`).MatchString(v) {
		return v
	}
	word := strings.Map(func(r rune) rune {
		if r == '-' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, version)
	if word == "" {
		word = "unknown"
	}
	return "0.0.0-" + word
}

// Statuses asks every instance of every role of a prefix, on any host, for its
// status. Nobody knows how many there are: it returns when no answer came for as
// long as an instance may take for one.
func (c *Conn) Statuses(ctx context.Context, prefix string) ([]json.RawMessage, error) {
	const op = "ask the instances for their status"
	denial := c.next(&c.denial)
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, c.fault(ctx, op, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for _, role := range []string{"scanner", "copier", "agent"} {
		if err := c.nc.PublishRequest(StatusSubject(prefix, role), inbox, nil); err != nil {
			return nil, c.fault(ctx, op, err)
		}
	}
	answers, err := gather(ctx, sub)
	select {
	case <-denial:
		err = natsgo.ErrTimeout // fault adds what was denied
	default:
	}
	return answers, c.fault(ctx, op, err)
}

func gather(ctx context.Context, sub *natsgo.Subscription) (answers []json.RawMessage, err error) {
	for {
		wait, cancel := context.WithTimeout(ctx, statusTimeout+statusTimeout/4)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case err == nil:
			answers = append(answers, m.Data)
		case errors.Is(err, natsgo.ErrNoResponders): // for this role
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return answers, nil
		default:
			return answers, err
		}
	}
}
