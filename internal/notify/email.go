package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"oracle-focus-agent/internal/network"
)

const (
	// mailIn bounds one delivery: mail servers greet strangers slowly on purpose.
	mailIn = 30 * time.Second
	// lockedOut is the pause after a password was refused: servers lock accounts
	// after a few of them.
	lockedOut = 15 * time.Minute
)

// A Security is how the way to the mail server is encrypted.
type Security string

// The securities. A server that should offer STARTTLS and does not is told nothing.
const (
	StartTLS Security = "starttls"
	Implicit Security = "implicit"
	Plain    Security = "none"
)

// Mail says how mail is sent. Without a host none is.
type Mail struct {
	Host               string
	Port               int // 0: the usual one of Security
	Username, Password string
	From               string
	To                 []string
	Security           Security
	CA                 string // file with the certificates to trust beside those of the system
}

// A mailbox is a courier that speaks SMTP.
type mailbox struct {
	Mail
	program string
	trust   *tls.Config
}

func newMailbox(o Options) (*mailbox, book, error) {
	m := o.Email
	if m.Port == 0 {
		m.Port = map[Security]int{StartTLS: 587, Implicit: 465, Plain: 25}[m.Security]
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.Host}
	if m.CA != "" {
		var err error
		if trust.RootCAs, err = roots(m.CA); err != nil {
			return nil, book{}, fmt.Errorf("alerts.email.ca: %w", err)
		}
	}
	b := &mailbox{m, "oracle-focus-agent/" + o.Version, trust}
	return b, book{kind: Email, key: "alerts.email", host: b.address(), sent: o.Sent, log: o.Log}, nil
}

func roots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return pool, nil
}

func (b *mailbox) address() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// deliver sends a message to each recipient by itself, so that one whom the server
// does not know keeps it from nobody else.
func (b *mailbox) deliver(ctx context.Context, m Message) (Answer, error) {
	a := Answer{Host: b.address()}
	ctx, cancel := context.WithTimeout(ctx, mailIn)
	defer cancel()
	client, err := b.client(ctx)
	if err != nil {
		return a, b.failed(err)
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return a, b.failed(cmp.Or(ctx.Err(), err))
	}
	var refused []error
	for _, to := range b.To {
		letter, err := b.letter(m, to)
		if err == nil {
			err = client.SendWithSMTPClient(session, letter)
		}
		if letter == nil || !letter.IsDelivered() { // what fails after that is no matter of this message
			refused = append(refused, fmt.Errorf("to %s: %w", to, cmp.Or(ctx.Err(), brief(err))))
			continue
		}
		a.Status, a.Text = 250, b.shown(letter.ServerResponse())
	}
	_ = client.CloseWithSMTPClient(session) // it has all of the message
	switch err := errors.Join(refused...); {
	case err == nil:
		return a, nil
	case len(refused) == len(b.To):
		return a, b.failed(err)
	default:
		return a, &partial{fmt.Errorf("it was taken for %d of %d recipients: %w", len(b.To)-len(refused), len(b.To), b.failed(err))}
	}
}

func (b *mailbox) client(ctx context.Context) (*mail.Client, error) {
	policy := mail.TLSMandatory
	if b.Security == Plain {
		policy = mail.NoTLS
	}
	options := []mail.Option{
		mail.WithPort(b.Port), mail.WithTimeout(mailIn), mail.WithTLSPolicy(policy), mail.WithTLSConfig(b.trust), mail.WithoutNoop(),
		// Its own context ends with the dial.
		mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			return b.dial(ctx, network, address)
		}),
	}
	if b.Security == Implicit {
		options = append(options, mail.WithSSL())
	}
	if b.Password != "" {
		options = append(options, mail.WithUsername(b.Username), mail.WithPassword(b.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5))
	}
	return mail.NewClient(b.Host, options...)
}

// dial makes a connection that ends with the delivery: the library leaves it open where
// the begin of a session fails, and sees the end of a context only while it dials.
func (b *mailbox) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	if b.Security != Implicit {
		return conn, nil
	}
	secure := tls.Client(conn, b.trust)
	return secure, secure.HandshakeContext(ctx)
}

func (b *mailbox) letter(m Message, to string) (*mail.Msg, error) {
	l := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(l.From(b.From), l.To(to)); err != nil {
		return nil, err
	}
	l.Subject(m.headline())
	l.SetDateWithValue(m.At)
	l.SetMessageID()
	l.SetUserAgent(b.program)
	l.SetBulk()
	l.SetGenHeader("Auto-Submitted", "auto-generated")
	l.SetBodyString(mail.TypeTextPlain, strings.Join(m.lines(), "\n")+"\n")
	return l, nil
}

// brief is err without what the library repeats of the message.
func brief(err error) error {
	if err == nil {
		return nil
	}
	text, _, _ := strings.Cut(err.Error(), ", affected ")
	return errors.New(text)
}

// failed is err with what to do about it and without the password.
func (b *mailbox) failed(err error) error {
	remedy, cause := network.Settings{
		CA: "alerts.email.ca", Endpoint: "alerts.email.host, port and tls", Host: "alerts.email.host", Late: "no answer in time",
	}.Unanswered(err)
	text := b.address() + ": " + b.shown(cause.Error()) + "; "
	answer, answered := errors.AsType[*textproto.Error](err)
	switch {
	case strings.Contains(cause.Error(), "SMTP AUTH"), answered && answer.Code/10 == 53:
		return &refusal{text + "check alerts.email.username and alerts.email.password", lockedOut}
	case strings.Contains(cause.Error(), "does not support STARTTLS"):
		remedy = "set alerts.email.tls to implicit where the port is one for TLS, or ask whoever runs the server"
	case remedy == "":
		remedy = "check alerts.email and the way to this host"
	}
	return errors.New(text + remedy)
}

// shown is a text of others, but nothing of one that holds the password in one of
// the forms in which it is sent.
func (b *mailbox) shown(text string) string {
	var secrets []string
	if b.Password != "" {
		for _, s := range []string{b.Password, "\x00" + b.Username + "\x00" + b.Password} {
			secrets = append(secrets, s, base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	return shown(text, secrets, "the password")
}
