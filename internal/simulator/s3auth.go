package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// s3Skew is how far a signed date may be from the server's clock.
const s3Skew = 15 * time.Minute

// identity is who signed a request, and what is needed to verify the rest of
// it: the signatures of chunks and trailers continue the one of the headers.
type identity struct {
	accessKey  string
	policy     Policy
	signingKey []byte
	scope      string // date/region/s3/aws4_request
	date       string // x-amz-date
	signature  string
	payload    string // x-amz-content-sha256
}

func (id *identity) allows(op string) bool { return id.policy == nil || id.policy(op) }

// authenticate verifies a Signature Version 4 in the Authorization header.
func (s *S3) authenticate(r *http.Request) (*identity, *s3Error) {
	auth, ok := parseAuthorization(r.Header.Get("Authorization"))
	if !ok {
		return nil, errAccessDenied()
	}
	key, ok := s.Keys[auth.accessKey]
	if !ok {
		e := &s3Error{status: http.StatusForbidden, code: "InvalidAccessKeyId",
			message: "The AWS Access Key Id you provided does not exist in our records."}
		return nil, e.with("AWSAccessKeyId", auth.accessKey)
	}
	if err := s.checkScope(r, auth); err != nil {
		return nil, err
	}
	if err := auth.checkSigned(r); err != nil {
		return nil, err
	}
	id := &identity{
		accessKey: auth.accessKey, policy: key.Policy, date: r.Header.Get("x-amz-date"),
		scope: strings.Join(auth.scope, "/"), signature: auth.signature,
		signingKey: signingKey(key.Secret, auth.scope), payload: r.Header.Get("x-amz-content-sha256"),
	}
	if id.payload == "" {
		return nil, errInvalid("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
	}
	canonical := auth.canonicalRequest(r, id.payload)
	if !id.signed(fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%s", id.date, id.scope, hexSum([]byte(canonical))), auth.signature) {
		e := &s3Error{status: http.StatusForbidden, code: "SignatureDoesNotMatch", message: "The request signature we " +
			"calculated does not match the signature you provided. Check your key and signing method."}
		return nil, e.with("AWSAccessKeyId", auth.accessKey).with("CanonicalRequest", canonical)
	}
	return id, nil
}

// signed tells whether signature is the one of text.
func (id *identity) signed(text, signature string) bool {
	want := hex.EncodeToString(hmacSum(id.signingKey, text))
	return hmac.Equal([]byte(want), []byte(signature))
}

// authorization is the header's parts.
type authorization struct {
	accessKey string
	scope     []string // date, region, service, aws4_request
	headers   []string
	signature string
}

func parseAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return authorization{}, false
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	credential := strings.Split(parts["Credential"], "/")
	if len(credential) < 5 || parts["Signature"] == "" {
		return authorization{}, false
	}
	n := len(credential) - 4
	return authorization{
		accessKey: strings.Join(credential[:n], "/"), scope: credential[n:],
		headers: strings.Split(parts["SignedHeaders"], ";"), signature: parts["Signature"],
	}, true
}

// checkScope refuses another region, service or day, and a clock that is off.
func (s *S3) checkScope(r *http.Request, auth authorization) *s3Error {
	const format = "20060102T150405Z"
	now := s.Clock().UTC()
	date, err := time.Parse(format, r.Header.Get("x-amz-date"))
	if err != nil {
		e := errAccessDenied()
		e.message = "AWS authentication requires a valid Date or x-amz-date header"
		return e
	}
	if date.Sub(now).Abs() > s3Skew {
		e := &s3Error{status: http.StatusForbidden, code: "RequestTimeTooSkewed",
			message: "The difference between the request time and the current time is too large."}
		return e.with("RequestTime", date.Format(format)).with("ServerTime", now.Format(time.RFC3339)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(s3Skew.Milliseconds(), 10))
	}
	switch {
	case auth.scope[1] != s.Region:
		e := errInvalid("AuthorizationHeaderMalformed", fmt.Sprintf(
			"The authorization header is malformed; the region '%s' is wrong; expecting '%s'", auth.scope[1], s.Region))
		return e.with("Region", s.Region)
	case auth.scope[0] != date.Format("20060102") || auth.scope[2] != "s3" || auth.scope[3] != "aws4_request":
		return errInvalid("AuthorizationHeaderMalformed", "The authorization header is malformed; the credential scope is wrong")
	}
	return nil
}

// checkSigned refuses a request whose host or x-amz-* headers are not covered
// by the signature: someone may have added them on the way.
func (a authorization) checkSigned(r *http.Request) *s3Error {
	if !slices.Contains(a.headers, "host") {
		return errInvalid("AuthorizationHeaderMalformed", "The authorization header is malformed; host must be signed")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(a.headers, name) {
			e := errAccessDenied()
			e.message = "There were headers present in the request which were not signed"
			return e.with("HeadersNotSigned", name)
		}
	}
	return nil
}

func (a authorization) canonicalRequest(r *http.Request, payload string) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	var headers strings.Builder
	for _, name := range a.headers {
		fmt.Fprintf(&headers, "%s:%s\n", name, headerValue(r, name))
	}
	return strings.Join([]string{
		r.Method, awsEscape(unescape(path), true), canonicalQuery(r.URL.RawQuery),
		headers.String(), strings.Join(a.headers, ";"), payload,
	}, "\n")
}

func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs []string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, canonicalPart(name)+"="+canonicalPart(value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func canonicalPart(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		s = u
	}
	return awsEscape(s, false)
}

// awsEscape is the URI encoding that signatures are made over.
func awsEscape(s string, keepSlash bool) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(unreserved, s[i]) >= 0 || keepSlash && s[i] == '/' {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func signingKey(secret string, scope []string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range scope {
		key = hmacSum(key, part)
	}
	return key
}

func hmacSum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
