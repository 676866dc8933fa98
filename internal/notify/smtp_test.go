package notify_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"oracle-focus-agent/internal/notify"
)

// A mailServer is a real one that somebody else runs: SMTP with STARTTLS and AUTH.
type mailServer struct {
	net.Listener
	ca       string // file with its certificate
	implicit bool   // TLS from the first byte on
	bare     bool   // it offers neither TLS nor AUTH
	secure   *tls.Config

	mu      sync.Mutex
	refuse  map[string]string // the answer to a command, by its begin
	silent  bool              // it greets nobody
	letters []letter
	lines   []string // of all sessions, without the letters
	conns   sync.WaitGroup
	done    chan struct{}
}

// A letter is one mail as it was accepted.
type letter struct {
	from, to string
	secure   bool
	user     string
	header   mail.Header
	subject  string
	body     string
}

const mailPassword = "Canary+Pass/word=hunter2"

func serveMail(t *testing.T, change func(*mailServer)) *mailServer {
	t.Helper()
	certificate := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate of 127.0.0.1
	certificate.StartTLS()
	certificate.Close()
	s := &mailServer{refuse: map[string]string{}, done: make(chan struct{}), secure: certificate.TLS.Clone()}
	s.secure.NextProtos = nil
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.conns.Go(func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() { s.session(conn) })
		}
	})
	t.Cleanup(func() {
		close(s.done)
		s.Close()
		s.conns.Wait()
	})
	return s
}

// A session is one connection.
type session struct {
	*mailServer
	conn   net.Conn
	in     *bufio.Reader
	letter letter
	isTLS  bool
}

func (s *mailServer) session(conn net.Conn) {
	defer conn.Close()
	if s.silent {
		<-s.done
		return
	}
	x := &session{mailServer: s, conn: conn}
	if s.implicit {
		x.encrypt()
	}
	x.in = bufio.NewReader(x.conn)
	x.say("220 mail.example.com ESMTP")
	for {
		line, err := x.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		if !x.command(line) {
			return
		}
	}
}

func (x *session) encrypt() {
	x.conn, x.isTLS = tls.Server(x.conn, x.secure), true
	x.in = bufio.NewReader(x.conn)
}

func (x *session) say(lines ...string) {
	fmt.Fprint(x.conn, strings.Join(lines, "\r\n")+"\r\n")
}

func (x *session) refused(line string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for begin, answer := range x.refuse {
		if strings.HasPrefix(line, begin) {
			x.say(answer)
			return true
		}
	}
	return false
}

func (x *session) command(line string) bool {
	verb, _, _ := strings.Cut(line, " ")
	switch {
	case x.refused(line):
	case verb == "EHLO" && x.bare:
		x.say("250 mail.example.com")
	case verb == "EHLO" && x.isTLS:
		x.say("250-mail.example.com", "250-8BITMIME", "250 AUTH LOGIN PLAIN")
	case verb == "EHLO":
		x.say("250-mail.example.com", "250-STARTTLS", "250 AUTH PLAIN")
	case verb == "STARTTLS":
		x.say("220 go on")
		x.encrypt()
	case verb == "AUTH":
		x.auth(line)
	case verb == "MAIL":
		x.letter = letter{from: between(line), secure: x.isTLS, user: x.letter.user}
		x.say("250 ok")
	case verb == "RCPT":
		x.letter.to += between(line)
		x.say("250 ok")
	case verb == "DATA":
		x.data()
	case verb == "QUIT":
		x.say("221 bye")
		return false
	default:
		x.say("250 ok")
	}
	return true
}

func between(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

func (x *session) auth(line string) {
	blob, err := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
	if parts := strings.Split(string(blob), "\x00"); err == nil && len(parts) == 3 && parts[2] == mailPassword {
		x.letter.user = parts[1]
		x.say("235 welcome")
		return
	}
	x.say("535 5.7.8 no: " + line) // servers like to repeat what they were told
}

func (x *session) data() {
	x.say("354 go on")
	var text strings.Builder
	for {
		line, err := x.in.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	l := x.letter
	m, err := mail.ReadMessage(strings.NewReader(text.String()))
	if err != nil {
		x.say("554 no mail: " + err.Error())
		return
	}
	l.header = m.Header
	l.subject, _ = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	var body io.Reader = m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(m.Body)
	}
	all, _ := io.ReadAll(body)
	l.body = strings.ReplaceAll(string(all), "\r\n", "\n")
	x.mu.Lock()
	x.letters = append(x.letters, l)
	x.mu.Unlock()
	x.say("250 queued as 4711")
}

func (s *mailServer) got() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

func (s *mailServer) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// mail says how this server is reached.
func (s *mailServer) mail(security notify.Security) notify.Mail {
	host, port, _ := net.SplitHostPort(s.Addr().String())
	n, _ := strconv.Atoi(port)
	m := notify.Mail{Host: host, Port: n, Username: "focus", Password: mailPassword, From: "Focus <focus@example.com>",
		To: []string{"ops@example.com", "finance@example.com"}, Security: security, CA: s.ca}
	if s.bare {
		m.Username, m.Password = "", ""
	}
	return m
}
