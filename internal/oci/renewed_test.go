package oci_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// TestCredentialsAreReadAgain after each answer that refuses them, of whatever kind they
// are: the next request works, without a restart and without a signal. Oracle says 404
// where it means 403, and a token knows the groups of its time.
func TestCredentialsAreReadAgain(t *testing.T) {
	for status, class := range map[int]messages.Class{401: messages.Unauthenticated, 403: messages.Forbidden, 404: messages.NotFound} {
		refusal := simulator.Rule{Times: 1, Do: simulator.Status(status, "NotAuthorizedOrNotFound")}
		t.Run(fmt.Sprint(oci.APIKey, "/", status), func(t *testing.T) {
			w := newWorld(t)
			o := options(t, w.OCIURL, stranger(t))
			right, err := os.ReadFile(w.options.ConfigFile)
			if err != nil {
				t.Fatal(err)
			}
			c := open(t, o)
			w.OCIFaults.Add(refusal)
			mustBeRenewed(t, c, class, func() {
				if err := os.WriteFile(o.ConfigFile, right, 0o600); err != nil {
					t.Fatal(err)
				}
			})
		})
		t.Run(fmt.Sprint(oci.SessionToken, "/", status), func(t *testing.T) {
			s := newSession(t)
			stamp := time.Now().Add(-time.Minute).Truncate(time.Second)
			if err := os.Chtimes(s.tokenPath, stamp, stamp); err != nil {
				t.Fatal(err)
			}
			c := open(t, s.options)
			s.OCI.Withdraw()
			s.OCIFaults.Add(refusal)
			mustBeRenewed(t, c, class, func() { // even where the time of the file does not tell
				if err := os.WriteFile(s.tokenPath, []byte(s.grant(t, time.Hour)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(s.tokenPath, stamp, stamp); err != nil {
					t.Fatal(err)
				}
			})
		})
		for _, kind := range []oci.Kind{oci.InstancePrincipal, oci.ResourcePrincipal, oci.WorkloadIdentity} {
			t.Run(fmt.Sprint(kind, "/", status), func(t *testing.T) {
				p := newPrincipals(t, kind)
				tokenFile := ""
				if kind == oci.ResourcePrincipal {
					tokenFile, _ = p.asResource(t)
				} else {
					p.prepare(t)
				}
				c := open(t, p.options)
				if _, err := c.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.OCI.Withdraw()
				p.OCIFaults.Add(refusal)
				mustBeRenewed(t, c, class, func() {
					if tokenFile == "" { // its service gives a new one to whoever asks
						return
					}
					if err := os.WriteFile(tokenFile, []byte(p.OCI.Grant(&key(t).Private.PublicKey, time.Hour, nil)), 0o600); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// mustBeRenewed meets a refusal, and credentials that rotate at that time.
func mustBeRenewed(t *testing.T, c *oci.Client, class messages.Class, rotate func()) {
	t.Helper()
	rotate()
	_, err := c.Check(t.Context())
	wantFault(t, err, class)
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("after %s, with new credentials: %v", class, err)
	}
}
