package oci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A session is a token that `oci session authenticate` wrote into a file, and
// that somebody renews there: it ends within the hour.
type session struct {
	path  string
	stamp fileStamp
	token string
	ends  time.Time
}

// A fileStamp tells whether a file was written since.
type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

// readSession reads the file of a token. Its errors do not repeat what is in it.
func readSession(path string) (session, error) {
	s := session{path: path, stamp: stampOf(path)}
	text, err := os.ReadFile(path)
	if err != nil {
		return s, plain(err)
	}
	s.token = strings.TrimSpace(string(text))
	s.ends, err = endOf(s.token)
	return s, err
}

// changed reports whether the file holds another token by now.
func (s session) changed() bool { return stampOf(s.path) != s.stamp }

func (s session) ended() bool { return !time.Now().Before(s.ends) }

// endOf reads the end from a JSON Web Token. Who signed it is Oracle's to judge.
func endOf(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, errors.New("it holds no JSON Web Token")
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}, errors.New("it holds a JSON Web Token that does not say when it ends")
	}
	return time.Unix(int64(claims.Exp), 0).UTC(), nil
}

// fresh is nil while the token may be used.
func (k *keyring) fresh() error {
	if !k.session.ended() {
		return nil
	}
	return tokenError{
		fmt.Errorf("the session token of profile [%s] in %s ended at %s", k.profile, k.path, k.session.ends.Format(time.RFC3339)),
		k.id.signIn(),
	}
}
