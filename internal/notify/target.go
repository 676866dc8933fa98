package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/internal/network"
)

const (
	// answerIn bounds one request.
	answerIn = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 4 << 10
)

// newTransport keeps no connection: minutes lie between two requests.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: proxy, DisableKeepAlives: true,
		DialContext:         (&net.Dialer{Timeout: answerIn}).DialContext,
		TLSHandshakeTimeout: answerIn,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// proxy is that of the environment. The error of the library repeats its value,
// which may hold a password.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy of the environment has no valid address; " + network.ProxyRemedy)
	}
	return u, nil
}

// A target is one address that is asked by HTTP. It is used by one goroutine at a time.
type target struct {
	key     string   // of the configuration
	url     *url.URL // a secret but for its host
	client  *http.Client
	program string
}

func newTarget(k Kind, address string, o Options, transport http.RoundTripper) (*target, book, error) {
	key := "alerts." + string(k) + "_url"
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, book{}, errors.New(key + " is no URL; write it as https://host/path")
	}
	return &target{
		key: key, url: u, program: "oracle-focus-agent/" + o.Version,
		client: &http.Client{
			Transport: transport,
			// The address is a secret, which must not go to a host that an answer names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, book{kind: k, key: key, host: u.Host, sent: o.Sent, log: o.Log}, nil
}

// An Answer is what a host said to a message.
type Answer struct {
	Host   string
	Status int
	// Text is the begin of the body on one line, unless it repeats the address.
	Text string
}

// A refusal is an answer that takes no message.
type refusal struct {
	text       string
	retryAfter time.Duration
}

func (r *refusal) Error() string { return r.text }

// request sends one request. Anything but 2xx is an error.
func (t *target) request(ctx context.Context, method string, body []byte) (Answer, error) {
	a := Answer{Host: t.url.Host}
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return a, t.unanswered(err)
	}
	req.Header.Set("User-Agent", t.program)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return a, t.unanswered(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status has been said
	a.Status, a.Text = resp.StatusCode, t.shown(string(text))
	return a, t.judge(a, resp.Header)
}

func (t *target) judge(a Answer, h http.Header) error {
	said := fmt.Sprintf("%s answers %d %s", a.Host, a.Status, http.StatusText(a.Status))
	switch {
	case a.Status >= 200 && a.Status < 300:
		return nil
	case a.Status >= 300 && a.Status < 400:
		return &refusal{text: said + ", a redirect, which is not followed; set " + t.key + " to the address where it ends"}
	case a.Text != "":
		said += ": " + a.Text
	}
	return &refusal{said + "; check " + t.key, network.RetryAfter(h)}
}

// unanswered is err without the address that the library put into it.
func (t *target) unanswered(err error) error {
	remedy, cause := network.Settings{CA: "SSL_CERT_FILE", Endpoint: t.key, Host: t.key, Late: "no answer in time"}.Unanswered(err)
	if remedy == "" {
		remedy = "check " + t.key + " and the way to this host"
	}
	return errors.New(t.url.Host + ": " + t.shown(cause.Error()) + "; " + remedy)
}

// shown is a text of others on one line, but nothing of one that holds a part of
// the address: servers like to repeat what they were asked.
func (t *target) shown(text string) string { return shown(text, secretParts(t.url), "the address") }

func shown(text string, secrets []string, of string) string {
	lower := strings.ToLower(text)
	for _, part := range secrets {
		if strings.Contains(lower, strings.ToLower(part)) {
			return "(not shown: it repeats a part of " + of + ")"
		}
	}
	return network.OneLine(text)
}

// secretParts are the pieces of an address that may be the secret in it.
func secretParts(u *url.URL) (parts []string) {
	pieces := strings.FieldsFunc(u.EscapedPath()+"&"+u.RawQuery+"&"+u.User.String(), func(r rune) bool { return strings.ContainsRune("/&=;:", r) })
	for _, piece := range pieces {
		inPath, _ := url.PathUnescape(piece) // what cannot be decoded nobody decodes
		inQuery, _ := url.QueryUnescape(piece)
		parts = append(parts, piece, inPath, inQuery)
	}
	const least = 4 // shorter ones are words like v1
	return slices.DeleteFunc(parts, func(s string) bool { return len(s) < least })
}
