package notify

import "log/slog"

// A Kind is one of the ways to tell.
type Kind string

// The kinds.
const (
	Heartbeat Kind = "heartbeat"
	Webhook   Kind = "webhook"
	Email     Kind = "email"
	Slack     Kind = "slack"
	Teams     Kind = "teams"
)

func (k Kind) words() string {
	switch k {
	case Email:
		return "the e-mail"
	case Slack:
		return "the message to Slack"
	case Teams:
		return "the message to Teams"
	}
	return "the " + string(k)
}

// A book keeps how it goes with one address. It is used by one goroutine at a time.
type book struct {
	kind    Kind
	key     string // of the configuration
	host    string
	sent    func(Kind, error)
	log     *slog.Logger
	failing bool
}

// count takes the end of one request.
func (b *book) count(err error) {
	if b.sent != nil {
		b.sent(b.kind, err)
	}
}

// note logs when the address begins to fail and when it works again.
func (b *book) note(err error) {
	switch {
	case err != nil && !b.failing:
		b.log.Warn(b.kind.words()+" cannot be delivered", "err", err)
	case err == nil && b.failing:
		b.log.Info(b.kind.words()+" is delivered again", "host", b.host)
	}
	b.failing = err != nil
}
