package s3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestWrongSecretIsUnauthenticated(t *testing.T) {
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.SecretAccessKey = "another secret of some length" })
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Unauthenticated, "s3.secret_access_key")
	w = newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.AccessKeyID = "AKIAUNKNOWN" })
	_, err = w.client.Create(t.Context(), key, meta)
	wantFault(t, err, messages.Unauthenticated, "s3.access_key_id")
}

func TestNoCredentialsIsUnauthenticated(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.AccessKeyID, o.SecretAccessKey = "", "" })
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Unauthenticated, "s3.access_key_id")
	if got := w.S3.Requests()[""]; got != 0 {
		t.Errorf("made %d requests, want none", got)
	}
}

func TestRenewedCredentialsAreUsedWithoutARestart(t *testing.T) {
	file := write(t, "credentials", "")
	secret := func(s string) {
		text := fmt.Sprintf("[umbrella]\naws_access_key_id = AKIASIMULATED\naws_secret_access_key = %s\n", s)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret("an old secret of some length")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.AccessKeyID, o.SecretAccessKey, o.Profile = "", "", "umbrella" })
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Unauthenticated)

	secret(w.SecretAccessKey)
	if _, err := w.client.Put(t.Context(), key, []byte("x"), meta); err != nil {
		t.Errorf("with the new secret: %v", err)
	}
}

func TestCredentialsOfTheEnvironmentAreUsed(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	t.Setenv("AWS_ACCESS_KEY_ID", w.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", w.SecretAccessKey)
	o := w.options
	o.AccessKeyID, o.SecretAccessKey = "", ""
	if _, err := open(t, o).Put(t.Context(), key, []byte("x"), meta); err != nil {
		t.Error(err)
	}
}

func TestRegionComesFromTheNearestPlace(t *testing.T) {
	config := write(t, "config", "[profile p]\nregion = eu-north-1\n")
	for want, c := range map[string]struct{ option, env, profile string }{
		"eu-west-1":  {"eu-west-1", "us-west-2", "p"},
		"us-west-2":  {"", "us-west-2", "p"},
		"eu-north-1": {"", "", "p"},
		"us-east-1":  {"", "", ""},
	} {
		t.Run(want, func(t *testing.T) {
			t.Setenv("AWS_CONFIG_FILE", config)
			t.Setenv("AWS_REGION", c.env)
			if got := open(t, s3.Options{Bucket: "b", Region: c.option, Profile: c.profile}).Region(); got != want {
				t.Errorf("Region = %s, want %s", got, want)
			}
		})
	}
}

// seen takes requests instead of the network.
type seen struct{ *http.Request }

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	s.Request = r
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"x"`}}, Body: http.NoBody, Request: r}, nil
}

func TestRequestsGoToTheBucket(t *testing.T) {
	const alias = "bucket-umbrella-abc123-s3alias"
	for want, o := range map[string]s3.Options{
		"https://umbrella.s3.eu-west-1.amazonaws.com/k":      {Bucket: "umbrella"},
		"https://s3.eu-west-1.amazonaws.com/umbrella/k":      {Bucket: "umbrella", PathStyle: true},
		"https://" + alias + ".s3.eu-west-1.amazonaws.com/k": {Bucket: alias},
		"https://umbrella.s3.example:8443/k":                 {Bucket: "umbrella", Endpoint: "https://s3.example:8443/"},
		"https://s3.example/umbrella/k":                      {Bucket: "umbrella", Endpoint: "https://s3.example", PathStyle: true},
	} {
		t.Run(want, func(t *testing.T) {
			o.Region, o.AccessKeyID, o.SecretAccessKey = "eu-west-1", "a", "s"
			c, s := open(t, o), &seen{}
			c.TestingOnlyTransport(s)
			if _, err := c.Put(t.Context(), "k", []byte("hello"), meta); err != nil {
				t.Fatal(err)
			}
			s.URL.RawQuery = ""
			if got := s.URL.String(); got != want {
				t.Errorf("URL = %s, want %s", got, want)
			}
			if s.ContentLength != 5 || len(s.TransferEncoding) != 0 || s.Header.Get("Content-Encoding") != "" || s.Header.Get("x-amz-checksum-crc32c") != s3.Sum([]byte("hello")) {
				t.Errorf("request = %+v", s.Request)
			}
		})
	}
}

func TestForbiddenNamesTheFormForAccessPoints(t *testing.T) {
	w := newWorld(t, func(string) bool { return false }, func(o *s3.Options) { o.Bucket = "b-s3alias" })
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Forbidden, "arn:aws:s3:us-east-1:<account>:accesspoint/<name>/object/")
}

func TestConfigurationErrorsSayWhatToDo(t *testing.T) {
	alone(t)
	for want, o := range map[string]s3.Options{
		"s3.bucket_path":       {},
		"s3.secret_access_key": {Bucket: "b", AccessKeyID: "a"},
		"s3.access_key_id":     {Bucket: "b", SecretAccessKey: "s"},
		"s3.endpoint":          {Bucket: "b", Endpoint: "s3.example"},
		"s3.profile":           {Bucket: "b", Profile: "missing"},
	} {
		_, err := s3.Open(t.Context(), o)
		if _, ok := errors.AsType[*s3.ConfigError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want a ConfigError with %s", err, want)
		}
	}
}
