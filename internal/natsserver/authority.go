package natsserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"
)

const (
	// authorityLife spares clients a change of what they trust for as long as such
	// an installation is likely to live.
	authorityLife = 10 * 365 * day
	// serverLife is the longest that every TLS library accepts.
	serverLife = 825 * day
	// renewBefore is how long before its end a certificate is renewed: a run each
	// year is enough.
	renewBefore = 400 * day
	// clockSkew is how far the clock of a client may be behind.
	clockSkew = time.Hour

	day = 24 * time.Hour
)

// An authority signs the certificate of the server.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer // nil where it is kept elsewhere
}

// authority makes the certificate authority or reads it. Its key may be taken away
// as long as there is nothing to sign.
func (f *folder) authority(prefix string) (authority, error) {
	const certPath, keyPath = "ca/ca.pem", "ca/key.pem"
	a := authority{}
	var err error
	if a.pem, err = f.read(certPath); err != nil {
		return a, err
	}
	a.cert = parseCertificate(a.pem)
	if raw, err := f.read(keyPath); err != nil || raw == nil && a.cert != nil {
		return a, err
	}
	if a.key, err = f.privateKey(keyPath); err != nil {
		return a, err
	}
	if a.cert == nil || !isOf(a.cert, a.key) || time.Until(a.cert.NotAfter) < serverLife+renewBefore {
		// Of the same key and name, so that what the old one signed stays valid.
		if a.cert, a.pem, err = a.issue(&x509.Certificate{
			Subject: pkix.Name{CommonName: "oracle-focus-agent " + prefix + " CA"}, NotAfter: time.Now().Add(authorityLife),
			IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		}, a.key.Public()); err != nil {
			return a, err
		}
	}
	return a, f.put(certPath, a.pem)
}

// issue signs a certificate, the authority's own where there is none yet.
func (a authority) issue(t *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, []byte, error) {
	t.NotBefore, t.BasicConstraintsValid = time.Now().Add(-clockSkew), true
	parent := a.cert
	if t.IsCA {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, a.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// certificate makes the server's certificate, where it has none that is good for
// the hosts. In a cluster it is also that of a client: of the other servers.
func (f *folder) certificate(ca authority, hosts, cluster []string) error {
	const path = "server/cert.pem"
	key, err := f.privateKey("server/key.pem")
	if err != nil {
		return err
	}
	raw, err := f.read(path)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotAfter: time.Now().Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	has := parseCertificate(raw)
	if has != nil { // a host is never lost, nor a use
		t.DNSNames, t.IPAddresses, t.ExtKeyUsage = slices.Clone(has.DNSNames), slices.Clone(has.IPAddresses), slices.Clone(has.ExtKeyUsage)
	}
	more := addHosts(t, slices.Concat(hosts, cluster))
	if len(cluster) > 0 && !slices.Contains(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		t.ExtKeyUsage, more = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth), true
	}
	if has != nil && !more && isOf(has, key) && has.CheckSignatureFrom(ca.cert) == nil && time.Until(has.NotAfter) >= renewBefore {
		return f.put(path, raw)
	}
	if ca.key == nil {
		return fmt.Errorf("the certificate of the server must be renewed, and %s is not there to sign it; put it back, or remove %s to begin with a new authority, which every client then needs", f.path("ca/key.pem"), f.path("ca/ca.pem"))
	}
	_, raw, err = ca.issue(t, key.Public())
	if err != nil {
		return err
	}
	return f.put(path, raw)
}

// addHosts adds what is missing and reports whether that was anything.
func addHosts(t *x509.Certificate, hosts []string) (more bool) {
	for _, h := range hosts {
		ip := net.ParseIP(h)
		switch {
		case ip == nil && !slices.Contains(t.DNSNames, h):
			t.DNSNames, more = append(t.DNSNames, h), true
		case ip != nil && !slices.ContainsFunc(t.IPAddresses, ip.Equal):
			t.IPAddresses, more = append(t.IPAddresses, ip), true
		}
	}
	return more
}

// checkHost accepts addresses, and names as they are in use: with underscores, and
// with a leading wildcard.
func checkHost(h string) error {
	name := regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)
	if net.ParseIP(h) != nil || len(h) <= 253 && name.MatchString(h) {
		return nil
	}
	return fmt.Errorf("%q is not a host; give a name or an address without a port, such as nats.example.com or 10.0.0.7", h)
}

// privateKey makes a key, where there is none.
func (f *folder) privateKey(name string) (crypto.Signer, error) {
	raw, err := f.secret(name, newKey)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, f.broken(name, errors.New("it holds no PEM block"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, f.broken(name, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, f.broken(name, errors.New("its key cannot sign"))
	}
	return signer, nil
}

// newKey is on P-256, which every TLS library has and signs with in microseconds.
func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// parseCertificate returns nil for what is none: it is made again.
func parseCertificate(raw []byte) *x509.Certificate {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

func isOf(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}
