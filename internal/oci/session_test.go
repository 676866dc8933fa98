package oci_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// session is a simulated bucket and a profile as `oci session authenticate`
// writes it.
type session struct {
	*simulator.Simulation
	options            oci.Options
	keyPath, tokenPath string
}

func newSession(t *testing.T) session {
	t.Helper()
	sim, err := simulator.New(simulator.Options{KeyFile: write(t, "key.pem", string(key(t).PEM()))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	s := session{Simulation: sim, keyPath: write(t, "oci_api_key.pem", string(key(t).PEM()))}
	s.tokenPath = write(t, "token", s.grant(t, time.Hour)+"\n")
	config := write(t, "config", fmt.Sprintf("[umbrella]\nfingerprint=aa:bb\nkey_file=%s\ntenancy=%s\nregion=%s\nsecurity_token_file=%s\n",
		s.keyPath, sim.OCIBucket, sim.OCIRegion, s.tokenPath))
	s.options = oci.Options{
		Auth: oci.SessionToken, ConfigFile: config, Profile: "umbrella",
		Namespace: sim.Namespace, Bucket: sim.OCIBucket, Prefix: prefix, Endpoint: sim.OCIURL, Connections: 2,
	}
	return s
}

func (s session) grant(t *testing.T, life time.Duration) string {
	t.Helper()
	return s.OCI.Grant(&key(t).Private.PublicKey, life, nil)
}

// renew writes a token as the OCI command line does, with another time than
// before, however coarse the clock of the file system is.
func (s session) renew(t *testing.T, token string) {
	t.Helper()
	if err := os.WriteFile(s.tokenPath, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Duration(s.OCI.Granted()) * time.Second)
	if err := os.Chtimes(s.tokenPath, later, later); err != nil {
		t.Fatal(err)
	}
}

func TestSessionTokenIsAccepted(t *testing.T) {
	s := newSession(t)
	c := open(t, s.options)
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id := c.Identity(); id.Kind != oci.SessionToken || id.Tenancy != s.OCIBucket || id.User != "" || !strings.Contains(id.String(), "session token of profile [umbrella] in "+s.options.ConfigFile) {
		t.Errorf("Identity = %+v, %s", id, id)
	}
}

// A token that somebody renews is used by the next request, and one that ended
// is told before any request.
func TestSessionTokenIsReadAgain(t *testing.T) {
	s := newSession(t)
	s.renew(t, s.grant(t, -time.Minute))
	c := open(t, s.options)
	_, err := c.Check(t.Context())
	wantFault(t, err, messages.Unauthenticated, "oci session refresh --profile umbrella", "oci session authenticate --profile-name umbrella --region "+s.OCIRegion, "api_key")
	if !strings.Contains(err.Error(), "ended at "+time.Now().UTC().Format("2006-01-02T")) || len(s.OCI.Requests()) > 0 {
		t.Errorf("error = %v, requests %v", err, s.OCI.Requests())
	}
	s.renew(t, s.grant(t, time.Hour))
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("with the new token: %v", err)
	}

	// A half-written token does not replace the one that works.
	s.renew(t, "e30.")
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("beside a broken file: %v", err)
	}
	s.OCI.Withdraw()
	_, err = c.Check(t.Context())
	wantFault(t, err, messages.Unauthenticated, "is not accepted", "oci session authenticate")

	// Signing in anew makes another key, too.
	other, err := simulator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.keyPath, other.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.renew(t, s.OCI.Grant(&other.Private.PublicKey, time.Hour, nil))
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("with another key: %v", err)
	}
}

func TestSessionErrorsSayWhatToDo(t *testing.T) {
	s := newSession(t)
	config, err := os.ReadFile(s.options.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	for title, c := range map[string]struct {
		text, token string
		want        []string
	}{
		"profile of an API key": {"[umbrella]\nuser=u\nfingerprint=f\ntenancy=t\nkey_file=" + s.keyPath, "", []string{"security_token_file is missing", "oci session authenticate --profile-name umbrella", "api_key"}},
		"no file":               {strings.ReplaceAll(string(config), s.tokenPath, missing), "", []string{missing, "no such file", "oci session authenticate"}},
		"no token":              {string(config), "hunter2", []string{s.tokenPath, "no JSON Web Token"}},
		"no end":                {string(config), "e30.e30.hunter2", []string{s.tokenPath, "when it ends"}},
	} {
		t.Run(title, func(t *testing.T) {
			if c.token != "" {
				s.renew(t, c.token)
			}
			o := s.options
			o.ConfigFile = write(t, "config", c.text)
			_, err := oci.Open(o)
			wantConfigError(t, err, append(c.want, "[umbrella]", o.ConfigFile)...)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error = %v", err)
			}
		})
	}
	// The same profile for an API key names the other way.
	o := s.options
	o.Auth = oci.APIKey
	_, err = oci.Open(o)
	wantConfigError(t, err, "session token", "set oci.auth to session_token")
}
