package config

import (
	"net/mail"
	"net/netip"
	"strings"
)

// Addresses are recipients of mail, with a comma between two. The file may also hold
// them as a list.
type Addresses string

var errAddress = &valueError{"holds what is no address", "write each as name@example.com, with a comma between two"}

// UnmarshalText reads addresses; spaces beside a comma are dropped.
func (a *Addresses) UnmarshalText(text []byte) error {
	all := Addresses(text).List()
	for _, one := range all {
		if p, err := mail.ParseAddress(one); err != nil || p.Address != one {
			return errAddress
		}
	}
	*a = Addresses(strings.Join(all, ","))
	return nil
}

// List is each address by itself.
func (a Addresses) List() (all []string) {
	if strings.TrimSpace(string(a)) == "" {
		return nil
	}
	for one := range strings.SplitSeq(string(a), ",") {
		all = append(all, strings.TrimSpace(one))
	}
	return all
}

// Tells reports whether any channel is told of failures.
func (a Alerts) Tells() bool {
	return a.WebhookURL.IsSet() || a.SlackURL.IsSet() || a.TeamsURL.IsSet() || a.Email.Host != ""
}

func (l *loader) checkAlerts() {
	a := l.cfg.Alerts
	l.address("alerts.heartbeat_url", a.HeartbeatURL)
	l.address("alerts.webhook_url", a.WebhookURL)
	l.address("alerts.slack_url", a.SlackURL)
	l.address("alerts.teams_url", a.TeamsURL)
	l.choice("alerts.email.tls", a.Email.TLS)
	if a.DigestAt != "" && !a.Tells() {
		l.warnAt("alerts.digest_at", "is ignored, because nobody is told anything", "set a channel of alerts, or remove it")
	}
	if a.Email.Host == "" {
		l.checkNoEmail()
		return
	}
	l.checkEmail()
}

// checkNoEmail refuses what only makes sense with a host, which was forgotten.
func (l *loader) checkNoEmail() {
	e := l.cfg.Alerts.Email
	for _, k := range []struct {
		key string
		set bool
	}{{"alerts.email.from", e.From != ""}, {"alerts.email.to", e.To != ""}, {"alerts.email.password", e.Password.IsSet()}} {
		if k.set {
			l.refuse(k.key, "is set without alerts.email.host", "set the host of your mail server, or remove the key")
		}
	}
}

func (l *loader) checkEmail() {
	e := l.cfg.Alerts.Email
	if _, err := netip.ParseAddr(e.Host); err != nil && !hostName.MatchString(e.Host) {
		l.refuse("alerts.email.host", "is not a host", "write its name, such as smtp.example.com; the port goes into alerts.email.port")
	}
	if _, err := mail.ParseAddress(e.From); e.From == "" {
		l.lacks("alerts.email.from", "is required, because alerts.email.host is set", "set the address that mails come from")
	} else if err != nil {
		l.refuse("alerts.email.from", "is not an address", "write it as focus@example.com")
	}
	if e.To == "" {
		l.lacks("alerts.email.to", "is required, because alerts.email.host is set", "set who gets the mails")
	}
	switch {
	case e.Username != "" && !e.Password.IsSet():
		l.lacks("alerts.email.password", "is missing, while alerts.email.username is set", "set FOCUS_ALERTS_EMAIL_PASSWORD or FOCUS_ALERTS_EMAIL_PASSWORD_FILE, or unset the other")
	case e.Username == "" && e.Password.IsSet():
		l.lacks("alerts.email.username", "is missing, while alerts.email.password is set", "set both or neither")
	}
	switch {
	case e.TLS != "none" || loopback(e.Host):
	case e.Password.IsSet():
		l.refuse("alerts.email.tls", "would send the password over the network in the clear", "use starttls or implicit")
	case !l.cfg.Advanced.AllowInsecureEndpoint:
		l.refuse("alerts.email.tls", "would send mail over the network in the clear", "use starttls or implicit, or set advanced.allow_insecure_endpoint to true in a network you trust")
	}
}

// Secrets are the values of all keys that are secrets and set.
func (c *Config) Secrets() (all []string) {
	for _, f := range fieldsOf(c) {
		if s, ok := f.ptr.(*Secret); ok && s.IsSet() {
			all = append(all, s.Reveal())
		}
	}
	return all
}
