package simulator

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Principals is a stand-in for what gives an identity to a process in OCI: the
// metadata service of an instance, Oracle's auth service, and the proxy of an
// OKE cluster. It checks what each of them is sent, and the tokens that it gives
// out are those that its OCI accepts.
//
//	GET  /opc/v2/instance/region, /opc/v2/identity/{cert,key,intermediate}.pem
//	POST /v1/x509                       an instance signs with its certificate
//	POST /resourcePrincipalSessionTokens a pod shows the token of its service account
type Principals struct {
	// Life is that of the tokens; the default is an hour. SDKs renew a token five
	// minutes before its end.
	Life time.Duration
	// ServiceAccount is the token that a pod shows.
	ServiceAccount string
	// Claims are put into each token beside the usual ones.
	Claims map[string]any

	oci     *OCI
	leaf    *x509.Certificate
	leafKey *rsa.PrivateKey
	ca      *x509.Certificate
	refused atomic.Bool
	count   counter

	mu       sync.Mutex
	mistakes []string
}

// NewPrincipals makes the certificates of an instance in the tenancy of the OCI.
func NewPrincipals(oci *OCI) (*Principals, error) {
	p := &Principals{Life: time.Hour, oci: oci}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if p.leafKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if p.ca, err = p.certificate("simulated intermediate", nil, &caKey.PublicKey, caKey); err != nil {
		return nil, err
	}
	if p.leaf, err = p.certificate("opc-tenant:"+oci.Bucket, p.ca, &p.leafKey.PublicKey, caKey); err != nil {
		return nil, err
	}
	p.ServiceAccount = encodeJWT(map[string]any{"sub": "system:serviceaccount:focus:agent", "exp": oci.Clock().Add(time.Hour).Unix()})
	return p, nil
}

// certificate makes a certificate, one of an authority where there is no issuer.
func (p *Principals) certificate(unit string, issuer *x509.Certificate, key crypto.PublicKey, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), IsCA: issuer == nil, BasicConstraintsValid: true,
		Subject:   pkix.Name{CommonName: "ocid1.instance.oc1..simulated", OrganizationalUnit: []string{"opc-certtype:instance", unit}},
		NotBefore: p.oci.Clock().Add(-time.Hour), NotAfter: p.oci.Clock().Add(24 * time.Hour),
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, issuerKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Refuse has the auth service and the proxy refuse everybody, or no longer.
func (p *Principals) Refuse(all bool) { p.refused.Store(all) }

// Requests is how many requests came in, by path.
func (p *Principals) Requests() map[string]int { return p.count.snapshot() }

// Mistakes are what was wrong with requests, so far.
func (p *Principals) Mistakes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mistakes)
}

// ServeHTTP implements http.Handler.
func (p *Principals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.count.add(r.URL.Path)
	var err error
	switch r.Method + " " + r.URL.Path {
	case "GET /opc/v2/instance/region":
		err = p.metadata(w, r, []byte(p.oci.Region+"\n"))
	case "GET /opc/v2/identity/cert.pem":
		err = p.metadata(w, r, pemOf("CERTIFICATE", p.leaf.Raw))
	case "GET /opc/v2/identity/key.pem":
		err = p.metadata(w, r, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.leafKey)))
	case "GET /opc/v2/identity/intermediate.pem":
		err = p.metadata(w, r, pemOf("CERTIFICATE", p.ca.Raw))
	case "POST /v1/x509":
		err = p.federate(w, r)
	case "POST /resourcePrincipalSessionTokens":
		err = p.workload(w, r)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.mistakes = append(p.mistakes, err.Error())
	}
}

// metadata demands the header that keeps a careless proxy away from the service.
func (p *Principals) metadata(w http.ResponseWriter, r *http.Request, answer []byte) error {
	if r.Header.Get("Authorization") != "Bearer Oracle" {
		http.Error(w, "the header Authorization: Bearer Oracle is missing", http.StatusUnauthorized)
		return errors.New("the metadata service was asked without its header")
	}
	w.Write(answer)
	return nil
}

// federate gives a token for a key to whoever signs with the key of a certificate
// that the intermediate signed.
func (p *Principals) federate(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	if p.refused.Load() {
		failOCI(w, r, http.StatusUnauthorized, "NotAuthenticated", "simulated refusal")
		return nil
	}
	key, err := p.checkFederation(r, body)
	if err != nil {
		failOCI(w, r, http.StatusUnauthorized, "NotAuthenticated", err.Error())
		return err
	}
	writeJSON(w, map[string]string{"token": p.oci.Grant(key, p.Life, p.Claims)})
	return nil
}

func (p *Principals) checkFederation(r *http.Request, body []byte) (*rsa.PublicKey, error) {
	var details struct {
		Certificate              string
		PublicKey                string
		IntermediateCertificates []string
		FingerprintAlgorithm     string
	}
	if err := json.Unmarshal(body, &details); err != nil {
		return nil, fmt.Errorf("the body is no JSON: %w", err)
	}
	leaf, err := derCertificate(details.Certificate)
	if err != nil {
		return nil, err
	}
	if len(details.IntermediateCertificates) != 1 || details.FingerprintAlgorithm != "SHA256" {
		return nil, errors.New("there is not one intermediate certificate, or the fingerprint is not SHA256")
	}
	intermediate, err := derCertificate(details.IntermediateCertificates[0])
	if err != nil || !intermediate.Equal(p.ca) || leaf.CheckSignatureFrom(p.ca) != nil {
		return nil, errors.New("the certificate is not one of an instance")
	}
	if err := p.checkSignature(r, body, leaf); err != nil {
		return nil, err
	}
	return publicKey(details.PublicKey)
}

// checkSignature verifies a request that an instance signed.
func (p *Principals) checkSignature(r *http.Request, body []byte, leaf *x509.Certificate) error {
	params, _ := signatureParams(r.Header.Get("Authorization"))
	want := p.oci.Bucket + "/fed-x509-sha256/" + strings.ReplaceAll(fmt.Sprintf("% x", sha256.Sum256(leaf.Raw)), " ", ":")
	if params["keyId"] != want {
		return fmt.Errorf("the key id is %q, want %q", params["keyId"], want)
	}
	signed := strings.Fields(params["headers"])
	for _, name := range []string{"date", "(request-target)", "content-length", "content-type", "x-content-sha256"} {
		if !strings.Contains(" "+params["headers"]+" ", " "+name+" ") {
			return fmt.Errorf("%s is not signed", name)
		}
	}
	digest := sha256.Sum256(body)
	if r.Header.Get("x-content-sha256") != base64.StdEncoding.EncodeToString(digest[:]) {
		return errors.New("x-content-sha256 is not that of the body")
	}
	signature, _ := base64.StdEncoding.DecodeString(params["signature"])
	sum := sha256.Sum256([]byte(signingString(r, signed)))
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	if !ok || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return errors.New("the signature is not that of the certificate's key")
	}
	if e := p.oci.checkDate(r); e != nil {
		return errors.New(e.message)
	}
	return nil
}

// workload gives a token for a key to whoever shows the token of the service
// account. The answer is a JSON text that holds base64 that holds JSON.
func (p *Principals) workload(w http.ResponseWriter, r *http.Request) error {
	var details struct{ PodKey string }
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&details)
	if err == nil && r.Header.Get("Authorization") != "Bearer "+p.ServiceAccount {
		err = errors.New("the service account is another")
	}
	if err == nil && r.Header.Get("opc-request-id") == "" {
		err = errors.New("opc-request-id is missing")
	}
	block, _ := pem.Decode([]byte(details.PodKey))
	if err == nil && block == nil {
		err = errors.New("podKey is no PEM")
	}
	var key *rsa.PublicKey
	if err == nil {
		key, err = publicKey(base64.StdEncoding.EncodeToString(block.Bytes))
	}
	if err != nil || p.refused.Load() {
		http.Error(w, "simulated refusal", http.StatusForbidden)
		return err
	}
	inner, err := json.Marshal(map[string]string{"token": "ST$" + p.oci.Grant(key, p.Life, p.Claims)})
	if err == nil {
		_, err = w.Write([]byte(`"` + base64.StdEncoding.EncodeToString(inner) + `"`))
	}
	return err
}

func pemOf(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return b.Bytes()
}

func derCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the certificate is no base64")
	}
	return x509.ParseCertificate(der)
}

func publicKey(text string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the public key is no base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("the public key is none")
	}
	if rsaKey, ok := key.(*rsa.PublicKey); ok {
		return rsaKey, nil
	}
	return nil, errors.New("the public key is not RSA")
}
