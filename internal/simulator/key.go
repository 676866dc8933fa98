package simulator

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The identities that a Key has unless told otherwise.
const (
	DefaultTenancy = "ocid1.tenancy.oc1..aaaaaaaasimulatedtenancyaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	DefaultUser    = "ocid1.user.oc1..aaaaaaaasimulateduseraaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// Key is an OCI API key with its owner.
type Key struct {
	Tenancy     string
	User        string
	Fingerprint string
	Private     *rsa.PrivateKey
}

// NewKey generates an RSA 2048 API key of the default tenancy and user.
func NewKey() (*Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generate an api key: %w", err)
	}
	return keyOf(private)
}

// LoadKey reads an RSA private key in PEM, PKCS #1 or #8, without passphrase.
func LoadKey(path string) (*Key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read api key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("read api key %s: no PEM block; give an RSA private key in PEM", path)
	}
	private, err := parsePrivate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read api key %s: %w", path, err)
	}
	return keyOf(private)
}

func parsePrivate(der []byte) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key; OCI api keys are RSA")
	}
	return private, nil
}

func keyOf(private *rsa.PrivateKey) (*Key, error) {
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return &Key{Tenancy: DefaultTenancy, User: DefaultUser, Fingerprint: fingerprint(der), Private: private}, nil
}

// fingerprint is the MD5 of the public key in hex with colons, as OCI shows it.
func fingerprint(der []byte) string {
	sum := md5.Sum(der)
	return strings.ReplaceAll(fmt.Sprintf("% x", sum), " ", ":")
}

// ID is the key's name in a request signature.
func (k *Key) ID() string { return k.Tenancy + "/" + k.User + "/" + k.Fingerprint }

// PEM is the private key as a key file holds it.
func (k *Key) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.Private)})
}

// WriteOCIConfig writes an OCI CLI configuration with the profile DEFAULT and
// its key file, both readable by the owner only, and returns the path of the
// configuration. The endpoint has no place in that format and is given to the
// client separately. Files that are right already are not touched: another
// process may be reading them.
func WriteOCIConfig(dir string, key *Key, region string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make directory for the oci configuration: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find directory for the oci configuration: %w", err)
	}
	keyFile := filepath.Join(abs, "oci_api_key.pem")
	if err := writeFile(keyFile, key.PEM()); err != nil {
		return "", fmt.Errorf("write api key: %w", err)
	}
	text := fmt.Sprintf("[DEFAULT]\nuser=%s\nfingerprint=%s\ntenancy=%s\nregion=%s\nkey_file=%s\n",
		key.User, key.Fingerprint, key.Tenancy, region, keyFile)
	path = filepath.Join(abs, "config")
	if err := writeFile(path, []byte(text)); err != nil {
		return "", fmt.Errorf("write oci configuration: %w", err)
	}
	return path, nil
}

// writeFile makes a file hold data, in one step; one that does stays as it is.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
