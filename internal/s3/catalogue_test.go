package s3_test

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
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestFAnswersInPairs meets each fault of each request twice: once the request had no
// effect, once it had. A worker that tries again, as the copier does, ends with the bytes
// at their key; no other bytes were ever visible, and no part is left.
func TestFAnswersInPairs(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	body := random(t, 7, 1000)
	for _, f := range []struct {
		row   string
		fault simulator.Fault
		ops   string
	}{
		{"F41 503 SlowDown", simulator.Status(503, "SlowDown"), "PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload AbortMultipartUpload"},
		{"F42 500 InternalError", simulator.Status(500, "InternalError"), "PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload AbortMultipartUpload"},
		{"F42 400 RequestTimeout", simulator.Status(400, "RequestTimeout"), "PutObject UploadPart CompleteMultipartUpload"},
		{"F43 403 AccessDenied", simulator.Status(403, "AccessDenied"), "PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload"},
		{"F44 400 ExpiredToken", simulator.Status(400, "ExpiredToken"), "PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload"},
		{"F48 200 with an error", simulator.Status(200, "InternalError"), "CompleteMultipartUpload"},
		{"F49 200 with nothing", simulator.EmptyComplete200(), "CompleteMultipartUpload"},
		{"F50 F52 F54 a broken connection", simulator.Reset(), "PutObject CreateMultipartUpload UploadPart CompleteMultipartUpload AbortMultipartUpload"},
		{"F57 409 ConditionalRequestConflict", simulator.Status(409, "ConditionalRequestConflict"), "PutObject CompleteMultipartUpload"},
	} {
		for op := range strings.FieldsSeq(f.ops) {
			for name, fault := range map[string]simulator.Fault{"no effect": f.fault, "applied": f.fault.Applied()} {
				t.Run(f.row+"/"+op+"/"+name, func(t *testing.T) {
					defer w.S3Faults.Clear()
					key := strings.ReplaceAll(key, "2026-03-01", strings.ReplaceAll(t.Name(), "/", "_"))
					before := len(w.S3.History())
					w.S3Faults.Add(simulator.Rule{Op: op, Times: 4, Do: fault})
					if op == "AbortMultipartUpload" { // of a copy that fails in between
						w.S3Faults.Add(simulator.Rule{Op: "UploadPart", Times: 1, Do: simulator.Status(403, "AccessDenied")})
					}
					attempt := multipart
					if op == "PutObject" {
						attempt = put
					}
					tries := 1
					for err := attempt(t.Context(), w, key, body); err != nil; err = attempt(t.Context(), w, key, body) {
						if f, ok := errors.AsType[*messages.Fault](err); !ok || f.Side != messages.Destination {
							t.Errorf("error %v, want a fault of the destination", err)
						}
						if tries++; tries > 6 {
							t.Fatalf("still %v", err)
						}
					}
					if stored(t, w, key) != string(body) {
						t.Error("other bytes are at the key")
					}
					for _, c := range w.S3.History()[before:] {
						if c.CRC32C != s3.Sum(body) {
							t.Errorf("other bytes were visible: %+v", c)
						}
					}
					for _, u := range w.S3.OpenUploads() {
						if u.Key == key && u.Parts > 0 {
							t.Errorf("an upload with parts is left: %+v", u)
						}
					}
				})
			}
		}
	}
}

func put(ctx context.Context, w world, key string, body []byte) error {
	m := meta
	m.CRC32C = s3.Sum(body)
	_, err := w.client.Put(ctx, key, body, m)
	return err
}

// multipart sends an upload as the copier does: what fails is aborted, until that works,
// and a commit without an answer is looked for.
func multipart(ctx context.Context, w world, key string, body []byte) error {
	id, err := w.client.Create(ctx, key, meta)
	if err != nil {
		return err
	}
	part, err := w.client.Part(ctx, key, id, 1, body, s3.Sum(body))
	if err == nil {
		_, err = w.client.Complete(ctx, key, id, []copier.Part{part}, int64(len(body)), s3.Sum(body))
		if err == nil {
			return nil
		}
		if s, e := w.client.Head(ctx, key); e == nil && s.SourceETag == meta.ETag && s.CRC32C == s3.Sum(body) {
			return nil
		}
	}
	for range 6 {
		if e := w.client.Abort(ctx, key, id); e == nil || errors.Is(e, messages.NoUpload) {
			return err
		}
	}
	return errors.New("the upload cannot be aborted")
}

// TestF39CertificatesThatProveNothing are refused before a byte of a body is sent, also by
// one who trusts their authority.
func TestF39CertificatesThatProveNothing(t *testing.T) {
	now := time.Now()
	authority, key, bundle := authority(t)
	t.Setenv("AWS_CA_BUNDLE", bundle)
	for _, c := range []struct {
		what     string
		from, to time.Time
		host     string
		newest   uint16
		says     string
	}{
		{"of this host", now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", 0, ""},
		{"expired", now.Add(-2 * time.Hour), now.Add(-time.Hour), "127.0.0.1", 0, "expired"},
		{"not valid yet", now.Add(time.Hour), now.Add(2 * time.Hour), "127.0.0.1", 0, "not yet valid"},
		{"of another host", now.Add(-time.Hour), now.Add(time.Hour), "10.0.0.1", 0, "10.0.0.1"},
		{"behind TLS 1.1", now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", tls.VersionTLS11, "protocol version"},
	} {
		t.Run("F39 "+c.what, func(t *testing.T) {
			asked := 0
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				io.Copy(io.Discard, r.Body)
				w.Header().Set("ETag", `"x"`)
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{vouched(t, c.host, c.from, c.to, authority, key)}, MaxVersion: c.newest, MinVersion: tls.VersionTLS10}
			server.StartTLS()
			defer server.Close()
			client := open(t, s3.Options{Bucket: "b", Endpoint: server.URL, AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true})
			defer client.Close()
			_, err := client.Put(t.Context(), "k", []byte("x"), meta)
			if c.says == "" {
				if err != nil || asked != 1 {
					t.Errorf("%d requests, %v, want it trusted", asked, err)
				}
				return
			}
			wantFault(t, err, messages.Connection)
			if !strings.Contains(err.Error(), c.says) || asked > 0 {
				t.Errorf("%d requests, error %v, want %q in it", asked, err, c.says)
			}
		})
	}
}

func authority(t *testing.T) (ca *x509.Certificate, key *ecdsa.PrivateKey, bundle string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return ca, key, write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func vouched(t *testing.T, host string, from, to time.Time, ca *x509.Certificate, caKey *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
