package oci_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// principals is a simulated bucket beside the services that give out tokens.
type principals struct {
	*simulator.Simulation
	services *simulator.Principals
	options  oci.Options
}

func newPrincipals(t *testing.T, kind oci.Kind) principals {
	t.Helper()
	noPlatform(t)
	sim, err := simulator.New(simulator.Options{KeyFile: write(t, "key.pem", string(key(t).PEM()))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	services, err := simulator.NewPrincipals(sim.OCI)
	if err != nil {
		t.Fatal(err)
	}
	return principals{sim, services, oci.Options{
		Auth: kind, Namespace: sim.Namespace, Bucket: sim.OCIBucket, Prefix: prefix, Endpoint: sim.OCIURL, Connections: 2, Region: sim.OCIRegion,
	}}
}

// noPlatform unsets what Oracle's services set.
func noPlatform(t *testing.T) {
	t.Helper()
	for _, name := range []string{"OCI_REGION", "OCI_RESOURCE_PRINCIPAL_VERSION", "OCI_RESOURCE_PRINCIPAL_REGION", "OCI_RESOURCE_PRINCIPAL_RPST",
		"OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "OCI_METADATA_BASE_URL", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "")
	}
}

// onInstance serves what an instance finds around it.
func (p principals) onInstance(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(p.services)
	t.Cleanup(server.Close)
	t.Setenv("OCI_METADATA_BASE_URL", server.URL+"/opc/v2")
	t.Setenv("OCI_SDK_AUTH_CLIENT_REGION_URL", server.URL)
}

// inPod serves what a pod of OKE finds around it. The SDK knows one port, so
// that each test has an address of the loopback network for itself.
func (p *principals) inPod(t *testing.T) {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+time.Now().UnixNano()%250, os.Getpid()>>8&0xff, 1+os.Getpid()%250)
	listener, err := net.Listen("tcp", host+":12250")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(p.services)
	server.Listener.Close()
	server.Listener = listener
	certificate, ca := serving(t, host)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
	t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", p.OCIRegion)
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", write(t, "ca.crt", ca))
	p.options.ServiceAccountToken = write(t, "token", p.services.ServiceAccount)
	p.options.Region = ""
}

// serving is a certificate of a host, and the CA that vouches for it.
func serving(t *testing.T, host string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// asResource writes what an OCI service gives to what it starts.
func (p *principals) asResource(t *testing.T) (tokenFile, keyFile string) {
	t.Helper()
	k := key(t)
	tokenFile = write(t, "rpst", p.OCI.Grant(&k.Private.PublicKey, time.Hour, nil)+"\n")
	keyFile = write(t, "private.pem", string(k.PEM()))
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
	t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", p.OCIRegion)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", tokenFile)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", keyFile)
	p.options.Region = ""
	return tokenFile, keyFile
}

func (p *principals) prepare(t *testing.T) {
	t.Helper()
	switch p.options.Auth {
	case oci.InstancePrincipal:
		p.onInstance(t)
	case oci.ResourcePrincipal:
		p.asResource(t)
	case oci.WorkloadIdentity:
		p.inPod(t)
	}
}

// Each kind gets a token from the stand-in of its service, and Object Storage
// accepts what is signed with it.
func TestPrincipalsAreAccepted(t *testing.T) {
	for kind, asked := range map[oci.Kind][]string{
		oci.InstancePrincipal: {"/opc/v2/instance/region", "/opc/v2/identity/cert.pem", "/opc/v2/identity/key.pem", "/opc/v2/identity/intermediate.pem", "/v1/x509"},
		oci.ResourcePrincipal: nil,
		oci.WorkloadIdentity:  {"/resourcePrincipalSessionTokens"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPrincipals(t, kind)
			p.prepare(t)
			p.Source.Add(simulator.Object{Name: name, Content: simulator.Bytes([]byte("x"))})
			c := open(t, p.options)
			if n := len(p.services.Requests()); n > 0 {
				t.Errorf("Open made requests: %v", p.services.Requests())
			}
			for range 2 {
				if probe, err := c.Check(t.Context()); err != nil || probe.First.Name != name {
					t.Fatalf("Check = %+v, %v", probe, err)
				}
			}
			if body, err := fetch(t.Context(), c, name, ""); err != nil || string(body) != "x" {
				t.Errorf("Open = %q, %v", body, err)
			}
			for _, path := range asked {
				if p.services.Requests()[path] == 0 {
					t.Errorf("%s was not asked: %v", path, p.services.Requests())
				}
			}
			if m := p.services.Mistakes(); m != nil || p.OCI.Granted() != 1 {
				t.Errorf("%d tokens, mistakes %q", p.OCI.Granted(), m)
			}
			if id := c.Identity(); id.Kind != kind || id.Tenancy != p.OCIBucket || id.Region != p.OCIRegion || id.User+id.Profile+id.ConfigFile != "" {
				t.Errorf("Identity = %+v", id)
			}
		})
	}
}

// A token is renewed before it ends, and where Oracle does not accept it.
func TestTokensAreRenewed(t *testing.T) {
	for _, kind := range []oci.Kind{oci.InstancePrincipal, oci.WorkloadIdentity} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPrincipals(t, kind)
			p.prepare(t)
			c := open(t, p.options)
			if _, err := c.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.OCI.Withdraw()
			_, err := c.Check(t.Context())
			wantFault(t, err, messages.Unauthenticated, "the next request asks for a new one")
			p.services.Life = 5*time.Minute + 2*time.Second // it is renewed five minutes before its end
			late := time.Now().Add(time.Minute)
			for p.OCI.Granted() < 3 && time.Now().Before(late) {
				if _, err := c.Check(t.Context()); err != nil {
					t.Fatalf("with a new token: %v", err)
				}
			}
			if n := p.OCI.Granted(); n != 3 {
				t.Errorf("%d tokens in all", n)
			}
			p.services.Life = time.Minute
			p.OCI.Withdraw()
			_, err = c.Check(t.Context())
			wantFault(t, err, messages.Unauthenticated)
			_, err = c.Check(t.Context())
			wantFault(t, err, messages.Unauthenticated)
			if !strings.Contains(err.Error(), "within five minutes") {
				t.Errorf("error = %v", err)
			}
			if m := p.services.Mistakes(); m != nil {
				t.Errorf("mistakes %q", m)
			}
		})
	}
}

func TestResourceTokenIsReadAgain(t *testing.T) {
	p := newPrincipals(t, oci.ResourcePrincipal)
	tokenFile, _ := p.asResource(t)
	c := open(t, p.options)
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.OCI.Withdraw()
	if err := os.WriteFile(tokenFile, []byte(p.OCI.Grant(&key(t).Private.PublicKey, time.Hour, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := c.Check(t.Context())
	wantFault(t, err, messages.Unauthenticated)
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("with the new token: %v", err)
	}
}

// An outage of what gives out tokens ends with it: no circuit breaker goes on.
func TestRefusedTokenIsExplained(t *testing.T) {
	for kind, remedy := range map[oci.Kind]string{oci.InstancePrincipal: "auth service", oci.WorkloadIdentity: "enhanced"} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPrincipals(t, kind)
			p.prepare(t)
			c := open(t, p.options)
			p.services.Refuse(true)
			for range 5 {
				_, err := c.Check(t.Context())
				wantFault(t, err, messages.Unauthenticated, remedy)
				if !strings.Contains(err.Error(), "simulated refusal") {
					t.Errorf("error = %v", err)
				}
			}
			if n := p.OCI.Requests()["ListObjects"]; n != 0 {
				t.Errorf("%d requests without a token", n)
			}
			p.services.Refuse(false)
			if _, err := c.Check(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// Outside OCI nobody answers, or somebody else does. Both are told in seconds.
func TestNoInstanceIsToldSoon(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	for base, words := range map[string]string{
		"http://" + silent.Addr().String(): "no answer within 3s", other.URL: "404 Not Found", closed.URL: "connection refused",
	} {
		p := newPrincipals(t, oci.InstancePrincipal)
		t.Setenv("OCI_METADATA_BASE_URL", base)
		start := time.Now()
		_, err := open(t, p.options).Check(t.Context())
		wantFault(t, err, messages.Unauthenticated, "this host is not an OCI instance, use api_key")
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", words, took)
		}
		if !strings.Contains(err.Error(), "no instance metadata service answers") || !strings.Contains(err.Error(), words) {
			t.Errorf("error = %v, want %q in it", err, words)
		}
	}
}

func TestWaitForATokenEndsWithTheContext(t *testing.T) {
	p := newPrincipals(t, oci.InstancePrincipal)
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done() // the client gives up, after three seconds
	}))
	defer server.Close()
	t.Setenv("OCI_METADATA_BASE_URL", server.URL)
	c := open(t, p.options)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	wantEnd(t, func() error { _, err := c.Check(ctx); return err })
	start := time.Now()
	wantEnd(t, func() error { _, err := c.Check(ctx); return err })
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the second call waited %v for the first one's question", took)
	}
}

// What the SDK says of a token that it cannot read holds the token.
func TestTokensAreInNoError(t *testing.T) {
	const secret = "hunter2"
	p := newPrincipals(t, oci.ResourcePrincipal)
	tokenFile, _ := p.asResource(t)
	for _, text := range []string{secret, secret + "." + secret + "." + secret, "a\n" + secret, "e30.e30." + secret} {
		if err := os.WriteFile(tokenFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, p.options).Check(t.Context())
		wantFault(t, err, messages.Unauthenticated)
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error = %v", err)
		}
	}
	t.Run("service account", func(t *testing.T) {
		p := newPrincipals(t, oci.WorkloadIdentity)
		p.inPod(t)
		p.options.ServiceAccountToken = write(t, "token", secret)
		_, err := open(t, p.options).Check(t.Context())
		wantFault(t, err, messages.Unauthenticated)
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error = %v", err)
		}
	})
}

// What the platform does not provide is a mistake of the configuration.
func TestPrincipalsNeedTheirPlatform(t *testing.T) {
	for title, c := range map[string]struct {
		kind   oci.Kind
		region string
		env    map[string]string
		want   []string
	}{
		"no region":    {oci.InstancePrincipal, "", nil, []string{"home region", "oci.region", "instance_principal"}},
		"no resource":  {oci.ResourcePrincipal, "us-ashburn-1", nil, []string{"OCI_RESOURCE_PRINCIPAL_VERSION, OCI_RESOURCE_PRINCIPAL_RPST, OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"}},
		"old resource": {oci.ResourcePrincipal, "us-ashburn-1", map[string]string{"OCI_RESOURCE_PRINCIPAL_VERSION": "1.1", "OCI_RESOURCE_PRINCIPAL_RPST": "a", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": "b"}, []string{`"1.1"`, "version 2.2"}},
		"no token": {oci.ResourcePrincipal, "us-ashburn-1", map[string]string{"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_RESOURCE_PRINCIPAL_RPST": "/none", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": "/none"},
			[]string{"the file /none", "no such file"}},
		"no pod":     {oci.WorkloadIdentity, "us-ashburn-1", nil, []string{"OCI_RESOURCE_PRINCIPAL_VERSION, OCI_RESOURCE_PRINCIPAL_REGION, KUBERNETES_SERVICE_HOST", "in the pod"}},
		"no account": {oci.WorkloadIdentity, "us-ashburn-1", map[string]string{"OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_RESOURCE_PRINCIPAL_REGION": "iad", "KUBERNETES_SERVICE_HOST": "127.0.0.1"}, []string{"/var/run/secrets/kubernetes.io/serviceaccount/token", "automountServiceAccountToken"}},
		"no kind":    {"magic", "", nil, []string{"magic", "api_key"}},
	} {
		t.Run(title, func(t *testing.T) {
			noPlatform(t)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			_, err := oci.Open(oci.Options{Auth: c.kind, Region: c.region, Bucket: "b"})
			wantConfigError(t, err, c.want...)
		})
	}
}

// A missing policy of a principal is explained as one of its dynamic group.
func TestPolicyIsThatOfTheKind(t *testing.T) {
	for kind, want := range map[oci.Kind][]string{
		oci.InstancePrincipal: {"dynamic-group <dynamic group>", "instance.compartment.id", "the dynamic group of this instance"},
		oci.ResourcePrincipal: {"dynamic-group <dynamic group>", "resource.type", "the dynamic group of this resource"},
		oci.WorkloadIdentity:  {"any-user", "request.principal.type = 'workload'", "any-user, where request.principal is this workload,"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPrincipals(t, kind)
			p.prepare(t)
			p.options.Bucket = "ocid1.tenancy.oc1..other"
			c := open(t, p.options)
			_, err := c.Check(t.Context())
			wantFault(t, err, messages.NotFound, "endorse "+want[2], "ocid1.tenancy.oc1..other", p.OCIBucket)
			id := c.Identity()
			text := strings.Join(append(id.Statements(), id.MatchingRule()), "\n")
			for _, words := range want[:2] {
				if !strings.Contains(text, words) {
					t.Errorf("policy = %s, want %q in it", text, words)
				}
			}
			if !slices.Contains(id.Statements(), "define tenancy usage-report as ocid1.tenancy.oc1..aaaaaaaaned4fkpkisbwjlr56u7cj63lf3wffbilvqknstgtvzub7vhqkggq") {
				t.Errorf("Statements = %q", id.Statements())
			}
			if f, _ := errors.AsType[*messages.Fault](err); strings.Contains(f.Remedy, "user ") {
				t.Errorf("remedy = %s", f.Remedy)
			}
		})
	}
}

// The page says the policies word for word, as test prints them.
func TestPoliciesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/identities.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []oci.Kind{oci.APIKey, oci.SessionToken, oci.InstancePrincipal, oci.ResourcePrincipal, oci.WorkloadIdentity} {
		id := oci.Identity{Kind: kind}
		_, section, found := strings.Cut(string(page), "### `"+string(kind)+"`\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if kind == oci.SessionToken && strings.Contains(section, "The same two statements") {
			continue
		}
		for _, line := range append(id.Statements(), id.MatchingRule()) {
			if !found || line != "" && !strings.Contains(section, "\n"+line+"\n") {
				t.Errorf("the section %s lacks %s", kind, line)
			}
		}
	}
}
