package simulator

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"
)

// tokens are the session tokens that OCI gave out. The zero value has none.
type tokens struct {
	mu    sync.Mutex
	given map[string]grant
}

// A grant is the key that a token speaks for, and until when.
type grant struct {
	key  *rsa.PublicKey
	ends time.Time
}

// key is nil for a token that nobody gave out, that ended or was withdrawn.
func (t *tokens) key(token string, now time.Time) *rsa.PublicKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g, ok := t.given[token]; ok && now.Before(g.ends) {
		return g.key
	}
	return nil
}

// Grant gives out a session token, as Oracle's auth service does: from now on
// requests are accepted whose key id is "ST$" and the token, signed with the key,
// until the token ends. The claims are put into it beside the usual ones.
func (o *OCI) Grant(key *rsa.PublicKey, life time.Duration, claims map[string]any) string {
	now := o.Clock()
	o.tokens.mu.Lock()
	defer o.tokens.mu.Unlock()
	all := map[string]any{
		"iss": "simulated", "jti": len(o.tokens.given), "iat": now.Unix(), "exp": now.Add(life).Unix(), "res_tenant": o.Bucket,
	}
	maps.Copy(all, claims)
	token := encodeJWT(all)
	if o.tokens.given == nil {
		o.tokens.given = map[string]grant{}
	}
	o.tokens.given[token] = grant{key, now.Add(life)}
	return token
}

// Granted is how many tokens were given out.
func (o *OCI) Granted() int {
	o.tokens.mu.Lock()
	defer o.tokens.mu.Unlock()
	return len(o.tokens.given)
}

// Withdraw ends all tokens that were given out.
func (o *OCI) Withdraw() {
	o.tokens.mu.Lock()
	defer o.tokens.mu.Unlock()
	for token, g := range o.tokens.given {
		g.ends = time.Time{}
		o.tokens.given[token] = g
	}
}

// encodeJWT makes a JSON Web Token whose signature nobody checks: what is valid
// is what was given out.
func encodeJWT(claims map[string]any) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("simulator: claims that JSON lacks: %v", err)) // a mistake of a test
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "RS256", "kid": "simulated"}) + "." + part(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte("simulated"))
}
