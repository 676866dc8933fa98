package live

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// An Exchange is a request and what the other side answered, without the names and
// the bytes in either.
type Exchange struct {
	Call   string // the verb, such as PUT
	Status int    // 0: no answer came
	Code   string // of an error, where the answer has one
	Class  string // of the failure, where no answer came
	Header http.Header
}

// Has reports whether the answer has a header.
func (e Exchange) Has(name string) bool { return e.Header.Get(name) != "" }

// OK reports whether the other side did what it was asked.
func (e Exchange) OK() bool { return e.Status >= 200 && e.Status < 300 }

// Allowed says whether the request was allowed: No where the other side refuses it for
// want of a right, or does not know such requests.
func (e Exchange) Allowed() Verdict {
	switch {
	case e.OK():
		return Yes
	case slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented}, e.Status):
		return No
	}
	return Unknown
}

// Refused says whether a request with something wrong in it was refused for that: who
// may not ask at all learns nothing.
func (e Exchange) Refused() Verdict {
	switch {
	case e.OK():
		return No
	case slices.Contains([]int{http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity}, e.Status),
		slices.Contains([]string{"BadDigest", "InvalidDigest", "InvalidPart"}, e.Code): // also within an answer that began with 200
		return Yes
	}
	return Unknown
}

// code is the form of the error codes of Oracle and Amazon. Another text may be anything.
var code = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]{1,63}$`)

// String is the exchange as evidence, with which of the headers came.
func (e Exchange) String() string { return e.With() }

// With is the exchange as evidence, with those of the named headers that the answer has.
func (e Exchange) With(headers ...string) string {
	if e.Status == 0 {
		return e.Call + ": no answer (" + e.Class + ")"
	}
	text := fmt.Sprintf("%s: %d", e.Call, e.Status)
	if code.MatchString(e.Code) {
		text += " " + e.Code
	}
	var came []string
	for _, name := range headers {
		if e.Has(name) {
			came = append(came, name)
		}
	}
	if len(headers) > 0 {
		text += ", with " + cmp.Or(strings.Join(came, " and "), "no "+strings.Join(headers, ", no "))
	}
	return text
}

// ocid matches Oracle's names of tenancies, users and the rest.
var ocid = regexp.MustCompile(`ocid1\.[A-Za-z0-9._-]+`)

// concealed stands for what the report must not hold.
const concealed = "<…>"

// conceal is the second lock: evidence is built of status codes, names of headers and
// numbers, so there is nothing to hide, and where there is after all, it is hidden.
// Secrets of fewer than four characters are left: they would be found in any word.
func conceal(text string, secrets []string) string {
	text = ocid.ReplaceAllString(text, concealed)
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, concealed)
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
