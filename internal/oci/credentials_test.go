package oci_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"oracle-focus-agent/internal/oci"
)

// keyFile writes a key and returns its path and the other entries of a profile.
func keyFile(t *testing.T, passphrase string) (path, entries string) {
	t.Helper()
	key := key(t)
	text := key.PEM()
	if passphrase != "" {
		der, err := pkcs8.MarshalPrivateKey(key.Private, []byte(passphrase), nil)
		if err != nil {
			t.Fatal(err)
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
	}
	return write(t, "key.pem", string(text)),
		"user=" + key.User + "\nfingerprint=" + key.Fingerprint + "\ntenancy=" + key.Tenancy + "\n"
}

func TestConfigurationFileIsRead(t *testing.T) {
	plain, entries := keyFile(t, "")
	locked, lockedEntries := keyFile(t, "pass=word: with signs")
	for title, c := range map[string]struct {
		text, profile, region, want string
	}{
		"default":             {"[DEFAULT]\n" + entries + "key_file=" + plain + "\nregion=eu-frankfurt-1\n", "", "", "eu-frankfurt-1"},
		"profile":             {"[A]\nuser=x\n[B]\n" + entries + "key_file = " + plain + "\nregion = eu-frankfurt-1", "B", "", "eu-frankfurt-1"},
		"option beats file":   {"[DEFAULT]\n" + entries + "key_file=" + plain + "\nregion=eu-frankfurt-1\n", "", "us-phoenix-1", "us-phoenix-1"},
		"default serves all":  {"[DEFAULT]\nregion=eu-frankfurt-1\nkey_file=" + plain + "\n[B]\n" + entries, "B", "", "eu-frankfurt-1"},
		"comments and CRLF":   {"# one\r\n; two\r\n[DEFAULT]\r\n" + strings.ReplaceAll(entries, "\n", "\r\n") + "key_file=" + plain + "\r\nregion=eu-frankfurt-1\r\n", "", "", "eu-frankfurt-1"},
		"passphrase":          {"[DEFAULT]\n" + lockedEntries + "key_file=" + locked + "\npass_phrase=pass=word: with signs\nregion=eu-frankfurt-1\n", "", "", "eu-frankfurt-1"},
		"passphrase, old way": {"[DEFAULT]\n" + lockedEntries + "key_file=" + locked + "\npassphrase=pass=word: with signs\nregion=eu-frankfurt-1\n", "", "", "eu-frankfurt-1"},
	} {
		t.Run(title, func(t *testing.T) {
			path := write(t, "config", c.text)
			o := oci.Options{ConfigFile: path, Profile: c.profile, Region: c.region, Namespace: "bling", Bucket: "b"}
			client := open(t, o)
			id := client.Identity()
			if id.Region != c.want || !strings.Contains(entries+lockedEntries, id.Fingerprint) || id.User == "" || id.Tenancy == "" || id.ConfigFile != path {
				t.Errorf("Identity = %+v", id)
			}
			if want := "https://objectstorage." + c.want + ".oraclecloud.com"; client.Endpoint() != want {
				t.Errorf("Endpoint = %s, want %s", client.Endpoint(), want)
			}
		})
	}
}

func TestConfigurationFileIsFound(t *testing.T) {
	key, entries := keyFile(t, "")
	text := "[DEFAULT]\n" + entries + "key_file=~/key.pem\nregion=eu-frankfurt-1\n"
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("OCI_CONFIG_FILE", "")
	pemText, _ := os.ReadFile(key)
	os.WriteFile(filepath.Join(home, "key.pem"), pemText, 0o600)
	os.Mkdir(filepath.Join(home, ".oci"), 0o700)
	if err := os.WriteFile(filepath.Join(home, ".oci", "config"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := write(t, "config", text)
	for title, c := range map[string]struct{ option, env, want string }{
		"home":        {"", "", filepath.Join(home, ".oci", "config")},
		"tilde":       {"~/.oci/config", "", filepath.Join(home, ".oci", "config")},
		"environment": {"", elsewhere, elsewhere},
		"option":      {"~/.oci/config", elsewhere, filepath.Join(home, ".oci", "config")},
	} {
		t.Run(title, func(t *testing.T) {
			t.Setenv("OCI_CONFIG_FILE", c.env)
			if got := open(t, oci.Options{ConfigFile: c.option}).Identity().ConfigFile; got != c.want {
				t.Errorf("read %s, want %s", got, c.want)
			}
		})
	}
}

func TestConfigurationErrorsSayWhatToDo(t *testing.T) {
	t.Setenv("OCI_REGION", "")
	plain, entries := keyFile(t, "")
	locked, _ := keyFile(t, "secret")
	noise := write(t, "noise.pem", "no key")
	other := write(t, "ec.pem", ellipticKey(t))
	missing := filepath.Join(t.TempDir(), "missing")
	for title, c := range map[string]struct {
		text string
		want []string
	}{
		"no profile":        {"[OTHER]\n" + entries, []string{"no such profile", "oci.profile"}},
		"no user":           {"[P]\ntenancy=t\nfingerprint=f\nkey_file=" + plain, []string{"user is missing"}},
		"session token":     {"[P]\nsecurity_token_file=x\ntenancy=t\n", []string{"session token", "API key"}},
		"no key file":       {"[P]\n" + entries, []string{"key_file is missing"}},
		"key file missing":  {"[P]\n" + entries + "key_file=" + missing, []string{missing, "no such file", "readable"}},
		"key file is noise": {"[P]\n" + entries + "key_file=" + noise, []string{noise, "RSA private key in PEM form"}},
		"key of other kind": {"[P]\n" + entries + "key_file=" + other, []string{other, "RSA private key in PEM form"}},
		"no passphrase":     {"[P]\n" + entries + "key_file=" + locked, []string{"encrypted", "pass_phrase"}},
		"wrong passphrase":  {"[P]\n" + entries + "pass_phrase=wrong\nkey_file=" + locked, []string{"correct pass_phrase"}},
		"no region":         {"[P]\n" + entries + "key_file=" + plain, []string{"oci.region"}},
		"bad region":        {"[P]\n" + entries + "region=evil.example/x\nkey_file=" + plain, []string{"oci.region"}},
	} {
		t.Run(title, func(t *testing.T) {
			path := write(t, "config", c.text)
			_, err := oci.Open(oci.Options{ConfigFile: path, Profile: "P", Origin: "config.yaml:3:5"})
			wantConfigError(t, err, append(c.want, path, "[P]", "config.yaml:3:5")...)
		})
	}
	t.Run("no file", func(t *testing.T) {
		_, err := oci.Open(oci.Options{ConfigFile: missing})
		wantConfigError(t, err, missing, "[DEFAULT]", "oci.config_file")
		if strings.Count(err.Error(), missing) != 1 {
			t.Errorf("error names the file twice: %v", err)
		}
	})
}

// A key that other users of the host can read is theirs, too.
func TestSecretsOpenToOthersAreRefused(t *testing.T) {
	plain, entries := keyFile(t, "")
	locked, lockedEntries := keyFile(t, "secret")
	key := write(t, "config", "[P]\n"+entries+"region=eu-frankfurt-1\nkey_file="+plain)
	phrase := write(t, "config", "[P]\n"+lockedEntries+"region=eu-frankfurt-1\npass_phrase=secret\nkey_file="+locked)
	for _, c := range []struct{ config, file, what string }{{key, plain, "key_file " + plain}, {phrase, phrase, "it holds a passphrase"}} {
		if err := os.Chmod(c.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := oci.Open(oci.Options{ConfigFile: c.config, Profile: "P"})
		wantConfigError(t, err, c.config, c.what, "open to other users (mode 0644)", "chmod 600 "+c.file)
	}
	// As for containers and systemd, whose mounts have modes of their own.
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(plain))
	open(t, oci.Options{ConfigFile: key, Profile: "P"})
	// A configuration file without a secret may be read by all.
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if err := errors.Join(os.Chmod(plain, 0o600), os.Chmod(key, 0o644)); err != nil {
		t.Fatal(err)
	}
	open(t, oci.Options{ConfigFile: key, Profile: "P"})
}

func TestEndpointIsChecked(t *testing.T) {
	for _, bad := range []string{"objectstorage.example", "ftp://host", "https://", "https://host/path", "https://u:p@host", "https://host?x", "https://host#x", "https://ho st"} {
		_, err := oci.Open(options(t, bad))
		wantConfigError(t, err, "oci.endpoint")
	}
	if got := open(t, options(t, "https://host:8443/")).Endpoint(); got != "https://host:8443" {
		t.Errorf("Endpoint = %s", got)
	}
}

func wantConfigError(t *testing.T, err error, words ...string) {
	t.Helper()
	if _, ok := errors.AsType[*oci.ConfigError](err); !ok {
		t.Fatalf("error = %v, want a ConfigError", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error = %q, want %q in it", err, w)
		}
	}
}

func ellipticKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
