package oci

import (
	"context"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/internal/keyfile"
)

// A ConfigError says what is wrong with the settings of the source, where, and
// what to do about it.
type ConfigError struct {
	File    string // the OCI configuration file; empty where an option is wrong
	Profile string
	Origin  string // who named the file; may be empty
	Err     error
	Remedy  string
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "OCI configuration file %s, profile [%s]", e.File, e.Profile)
		if e.Origin != "" {
			fmt.Fprintf(&b, " (from %s)", e.Origin)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Error())
	if e.Remedy != "" {
		b.WriteString("; " + e.Remedy)
	}
	return b.String()
}

func (e *ConfigError) Unwrap() error { return e.Err }

// A keyring is an API key or a session token from a configuration file. Unlike
// the SDK's own provider it parses the key once instead of once per request,
// takes missing entries from [DEFAULT] as Oracle's Python SDK does, keeps a
// passphrase that contains "=", and can be read again.
type keyring struct {
	kind                  Kind
	path, profile, origin string
	region                string // beats the file's

	mu      sync.Mutex
	id      Identity
	key     *rsa.PrivateKey
	session session // of a session token
}

func openKeyring(o Options) (*keyring, error) {
	k := &keyring{kind: o.Auth, path: configPath(o.ConfigFile), profile: o.Profile, origin: o.Origin, region: o.Region}
	if k.kind == "" {
		k.kind = APIKey
	}
	if k.profile == "" {
		k.profile = "DEFAULT"
	}
	return k, k.read()
}

func configPath(path string) string {
	if path == "" {
		path = os.Getenv("OCI_CONFIG_FILE")
	}
	if path == "" {
		path = "~/.oci/config"
	}
	return expand(path)
}

// expand replaces a leading ~ by the home directory, where there is one.
func expand(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && rest[0] != '/' {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

// read takes over what the file says now. After an error all is as before.
func (k *keyring) read() error {
	values, err := k.values()
	if err != nil {
		return err
	}
	key, err := k.readKey(values)
	if err != nil {
		return err
	}
	session, err := k.readToken(values)
	if err != nil {
		return err
	}
	region := values["region"]
	if k.region != "" {
		region = k.region
	} else if region == "" {
		region = os.Getenv("OCI_REGION")
	}
	if region == "" || strings.ContainsAny(region, " \t/") {
		return k.problem(fmt.Errorf("region %q is none", region), "set oci.region to the home region of the tenancy")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.key, k.session = key, session
	k.id = Identity{
		Kind: k.kind, Tenancy: values["tenancy"], User: values["user"], Fingerprint: values["fingerprint"],
		Region: region, ConfigFile: k.path, Profile: k.profile,
	}
	return nil
}

// readToken reads the token of a session; there is none of an API key.
func (k *keyring) readToken(values map[string]string) (session, error) {
	if k.kind != SessionToken {
		return session{}, nil
	}
	path := expand(values["security_token_file"])
	s, err := readSession(path)
	if err != nil {
		return s, k.problem(fmt.Errorf("security_token_file %s: %w", path, err),
			fmt.Sprintf("run `oci session authenticate --profile-name %s`", k.profile))
	}
	return s, nil
}

// values are the entries of the profile, all that are required among them.
func (k *keyring) values() (map[string]string, error) {
	text, err := os.ReadFile(k.path)
	if err != nil {
		return nil, k.problem(plain(err), "create it (oci setup config), or name another one in oci.config_file")
	}
	values, found := parseProfile(string(text), k.profile)
	if !found {
		return nil, k.problem(errors.New("the file has no such profile"), "add it, or name another one in oci.profile")
	}
	if k.kind == APIKey && values["user"] == "" && values["security_token_file"] != "" {
		return nil, k.problem(errors.New("it holds a session token, which ends within the hour"), "use a profile with an API key (user, fingerprint, tenancy and key_file), or set oci.auth to session_token")
	}
	for _, name := range k.needs() {
		if values[name] == "" {
			return nil, k.problem(fmt.Errorf("%s is missing", name), k.remedyOfMissing())
		}
	}
	if values["pass_phrase"] != "" || values["passphrase"] != "" {
		return values, k.private("it holds a passphrase", k.path)
	}
	return values, nil
}

// needs are the entries without which nothing can be signed.
func (k *keyring) needs() []string {
	if k.kind == SessionToken {
		return []string{"security_token_file", "tenancy", "key_file"}
	}
	return []string{"user", "fingerprint", "tenancy", "key_file"}
}

func (k *keyring) remedyOfMissing() string {
	if k.kind == SessionToken {
		return fmt.Sprintf("run `oci session authenticate --profile-name %s`, which writes it, or set oci.auth to api_key", k.profile)
	}
	return "add it as the OCI console shows it beside the API key"
}

// private refuses a file with a secret that other users can read.
func (k *keyring) private(what, path string) error {
	err := keyfile.Check(path, os.Getenv("CREDENTIALS_DIRECTORY"))
	if e, open := errors.AsType[*keyfile.OpenError](err); open {
		return k.problem(fmt.Errorf("%s: %w", what, err), e.Fix)
	}
	return err
}

// parseProfile reads an INI file as Oracle's tools do: the entries of [DEFAULT]
// serve every profile.
func parseProfile(text, profile string) (map[string]string, bool) {
	sections := map[string]map[string]string{}
	var current map[string]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && strings.HasSuffix(line, "]") {
			name := line[1 : len(line)-1]
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			current = sections[name]
			continue
		}
		if i := strings.IndexAny(line, "=:"); i > 0 && current != nil {
			current[strings.ToLower(strings.TrimSpace(line[:i]))] = strings.TrimSpace(line[i+1:])
		}
	}
	values := map[string]string{}
	for _, name := range []string{"DEFAULT", profile} {
		maps.Copy(values, sections[name])
	}
	return values, sections[profile] != nil
}

func (k *keyring) readKey(values map[string]string) (*rsa.PrivateKey, error) {
	path := expand(values["key_file"])
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, k.problem(fmt.Errorf("key_file %s: %w", path, plain(err)), "put the private API key there, readable for the user that runs this program")
	}
	if err := k.private("key_file "+path, path); err != nil {
		return nil, err
	}
	passphrase := values["pass_phrase"]
	if passphrase == "" {
		passphrase = values["passphrase"]
	}
	if passphrase == "" && encrypted(text) {
		return nil, k.problem(fmt.Errorf("key_file %s is encrypted", path), "add pass_phrase to the profile")
	}
	key, err := common.PrivateKeyFromBytesWithPassword(text, []byte(passphrase))
	if err != nil {
		remedy := "it must hold an RSA private key in PEM form"
		if encrypted(text) {
			remedy = "correct pass_phrase in the profile"
		}
		return nil, k.problem(fmt.Errorf("key_file %s: %w", path, err), remedy)
	}
	return key, nil
}

func encrypted(text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"))
}

// plain drops the path from a file error, which the message names already.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (k *keyring) problem(err error, remedy string) *ConfigError {
	return &ConfigError{File: k.path, Profile: k.profile, Origin: k.origin, Err: err, Remedy: remedy}
}

func (k *keyring) identity() Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id
}

// current implements credentials. A token that was renewed in its file is read
// before the next request, and the key with it.
func (k *keyring) current(context.Context) (pair, error) {
	k.mu.Lock()
	renewed := k.kind == SessionToken && k.session.changed()
	k.mu.Unlock()
	if renewed {
		k.renew()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kind == SessionToken {
		return pair{"ST$" + k.session.token, k.key}, k.fresh()
	}
	return pair{k.id.Tenancy + "/" + k.id.User + "/" + k.id.Fingerprint, k.key}, nil
}

// renew implements credentials. What was read before stays where the files
// cannot be read.
func (k *keyring) renew() { _ = k.read() }
