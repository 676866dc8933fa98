package simulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ociSkew is how far a signed date may be from the server's clock.
const ociSkew = 5 * time.Minute

// authenticate verifies the draft-cavage signature of a request: a registered
// key signed at least the date, the target and the host, and the date is fresh.
func (o *OCI) authenticate(r *http.Request) *ociError {
	params, ok := signatureParams(r.Header.Get("Authorization"))
	if !ok {
		return notAuthenticated("The required information to complete authentication was not provided.")
	}
	incorrect := notAuthenticated("The required information to complete authentication was not provided or was incorrect.")
	signed := strings.Fields(strings.ToLower(params["headers"]))
	if params["version"] != "1" || params["algorithm"] != "rsa-sha256" || !coversEnough(signed) {
		return incorrect
	}
	key := o.Keys[params["keyId"]]
	if token, ok := strings.CutPrefix(params["keyId"], "ST$"); ok {
		key = o.tokens.key(token, o.Clock())
	}
	signature, err := base64.StdEncoding.DecodeString(params["signature"])
	if key == nil || err != nil {
		return incorrect
	}
	sum := sha256.Sum256([]byte(signingString(r, signed)))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return incorrect
	}
	return o.checkDate(r)
}

func notAuthenticated(message string) *ociError {
	return &ociError{http.StatusUnauthorized, "NotAuthenticated", message}
}

// signatureParams splits `Signature version="1",keyId="..."` into its parts.
func signatureParams(header string) (map[string]string, bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Signature") {
		return nil, false
	}
	params := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		params[name] = strings.Trim(value, `"`)
	}
	return params, true
}

func coversEnough(signed []string) bool {
	var date, target, host bool
	for _, name := range signed {
		date = date || name == "date" || name == "x-date"
		target = target || name == "(request-target)"
		host = host || name == "host"
	}
	return date && target && host
}

func signingString(r *http.Request, signed []string) string {
	lines := make([]string, len(signed))
	for i, name := range signed {
		var value string
		switch name {
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.RequestURI
		case "host":
			value = r.Host
		default:
			value = strings.Join(r.Header.Values(name), ", ")
		}
		lines[i] = name + ": " + value
	}
	return strings.Join(lines, "\n")
}

func (o *OCI) checkDate(r *http.Request) *ociError {
	text := r.Header.Get("x-date")
	if text == "" {
		text = r.Header.Get("Date")
	}
	now := o.Clock().UTC()
	date, err := http.ParseTime(text)
	if err == nil && date.Sub(now).Abs() <= ociSkew {
		return nil
	}
	return notAuthenticated(fmt.Sprintf("Date '%s' is not within allowed clock skew. Current '%s', valid datetime range: ['%s', '%s']",
		text, now.Format(http.TimeFormat), now.Add(-ociSkew).Format(http.TimeFormat), now.Add(ociSkew).Format(http.TimeFormat)))
}
