package s3_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A wallet is a way in which keys come to the program. rotate replaces the secret by the
// one that S3 accepts.
type wallet struct {
	use    func(o *s3.Options)
	rotate func(secret string)
}

const oldSecret = "an old secret of some length"

// wallets are all ways whose keys can change while a process runs.
func wallets(t *testing.T) map[string]wallet {
	secret := atomic.Pointer[string]{}
	secret.Store(new(oldSecret))
	set := func(s string) { secret.Store(&s) }
	none := func(o *s3.Options) { o.AccessKeyID, o.SecretAccessKey = "", "" }

	shared := write(t, "credentials", "")
	fill := func(s string) {
		text := fmt.Sprintf("[default]\naws_access_key_id = AKIASIMULATED\naws_secret_access_key = %s\n[umbrella]\naws_access_key_id = AKIASIMULATED\naws_secret_access_key = %s\n", s, s)
		if err := os.WriteFile(shared, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(oldSecret)

	role := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId":"AKIASIMULATED","SecretAccessKey":%q,"Token":"","Expiration":"2999-01-01T00:00:00Z"}`, *secret.Load())
	}))
	t.Cleanup(role.Close)

	return map[string]wallet{
		"the files of the configuration": {func(o *s3.Options) {
			o.SecretAccessKey = oldSecret
			id := o.AccessKeyID
			o.Renewed = func() (string, string, string, error) { return id, *secret.Load(), "", nil }
		}, set},
		"a profile":                   {func(o *s3.Options) { none(o); t.Setenv("AWS_SHARED_CREDENTIALS_FILE", shared); o.Profile = "umbrella" }, fill},
		"the default profile":         {func(o *s3.Options) { none(o); t.Setenv("AWS_SHARED_CREDENTIALS_FILE", shared) }, fill},
		"a role of a container":       {func(o *s3.Options) { none(o); t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL) }, set},
		"a program of the AWS config": {func(o *s3.Options) { none(o); t.Setenv("AWS_CONFIG_FILE", program(t, shared)) }, fill},
	}
}

// program is an AWS configuration whose credentials a program prints: here, those of a file.
func program(t *testing.T, shared string) string {
	script := fmt.Sprintf(`awk '/secret/ { s = $3; for (i = 4; i <= NF; i++) s = s " " $i } END { printf "{\"Version\":1,\"AccessKeyId\":\"AKIASIMULATED\",\"SecretAccessKey\":\"%%s\"}", s }' %s`, shared)
	return write(t, "config", fmt.Sprintf("[default]\ncredential_process = sh %s\n", write(t, "print.sh", script)))
}

// TestCredentialsAreReadAgain after each way in which S3 refuses them, wherever they come
// from: the next call works, without a restart and without a signal.
func TestCredentialsAreReadAgain(t *testing.T) {
	for name := range wallets(t) {
		for _, op := range []string{"put", "head", "put, forbidden"} {
			t.Run(name+"/"+op, func(t *testing.T) {
				from := wallets(t)[name]
				w := newWorld(t, simulator.AllowAll, from.use)
				call := func() error {
					if op == "head" {
						_, err := w.client.Head(t.Context(), key)
						if errors.Is(err, messages.Gone) || errors.Is(err, messages.NotFound) {
							return nil
						}
						return err
					}
					_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
					return err
				}
				want := messages.Unauthenticated
				switch op {
				case "put, forbidden": // of another user, whom the policy does not know
					w.S3Faults.Add(simulator.Rule{Times: 1, Do: simulator.Status(403, "AccessDenied")})
					want = messages.Forbidden
				case "head": // whose answer has no code
					want = messages.Forbidden
				}
				wantFault(t, call(), want)
				from.rotate(w.SecretAccessKey)
				if err := call(); err != nil {
					t.Errorf("with the new secret: %v", err)
				}
			})
		}
	}
}

// TestKeysThatCannotBeReadAgainStay: a file that is being written is read the next time.
func TestKeysThatCannotBeReadAgainStay(t *testing.T) {
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) {
		asked := 0
		right := o.SecretAccessKey
		o.SecretAccessKey = oldSecret
		o.Renewed = func() (string, string, string, error) {
			if asked++; asked == 1 {
				return "", "", "", errors.New("the file is empty")
			}
			return o.AccessKeyID, right, "", nil
		}
	})
	for range 2 {
		_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
		wantFault(t, err, messages.Unauthenticated)
	}
	if _, err := w.client.Put(t.Context(), key, []byte("x"), meta); err != nil {
		t.Errorf("with the new secret: %v", err)
	}
}
