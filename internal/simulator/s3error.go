package simulator

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strconv"
)

// s3Error is an error answer of S3.
type s3Error struct {
	status  int
	code    string
	message string
	extra   [][2]string // further elements, in order
}

func (e *s3Error) Error() string { return e.code + ": " + e.message }

// with adds an element to the answer.
func (e *s3Error) with(name, value string) *s3Error {
	e.extra = append(e.extra, [2]string{name, value})
	return e
}

func errAccessDenied() *s3Error {
	return &s3Error{status: http.StatusForbidden, code: "AccessDenied", message: "Access Denied"}
}

func errNoSuchBucket() *s3Error {
	return &s3Error{status: http.StatusNotFound, code: "NoSuchBucket", message: "The specified bucket does not exist"}
}

func errNoSuchKey(key string) *s3Error {
	e := &s3Error{status: http.StatusNotFound, code: "NoSuchKey", message: "The specified key does not exist."}
	return e.with("Key", key)
}

func errNotImplemented() *s3Error {
	return &s3Error{status: http.StatusNotImplemented, code: "NotImplemented",
		message: "A header you provided implies functionality that is not implemented"}
}

func errInvalid(code, message string) *s3Error {
	return &s3Error{status: http.StatusBadRequest, code: code, message: message}
}

func errInternal(err error) *s3Error {
	return &s3Error{status: http.StatusInternalServerError, code: "InternalError", message: err.Error()}
}

func errPrecondition(condition string) *s3Error {
	e := &s3Error{status: http.StatusPreconditionFailed, code: "PreconditionFailed",
		message: "At least one of the pre-conditions you specified did not hold"}
	return e.with("Condition", condition)
}

func failS3(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	(&s3Error{status: status, code: code, message: message}).write(w, r)
}

// write sends the error as XML; the answer to a HEAD has no body. Connections
// are closed as S3 does, so an unread upload is not read for nothing.
func (e *s3Error) write(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	b.WriteString(xml.Header + "<Error>")
	element(&b, "Code", e.code)
	element(&b, "Message", e.message)
	for _, x := range e.extra {
		element(&b, x[0], x[1])
	}
	element(&b, "RequestId", w.Header().Get("x-amz-request-id"))
	element(&b, "HostId", w.Header().Get("x-amz-id-2"))
	b.WriteString("</Error>")
	w.Header().Del("ETag")
	w.Header().Set("Content-Type", "application/xml")
	if uploads(r) {
		w.Header().Set("Connection", "close")
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(e.status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(e.status)
	w.Write(b.Bytes())
}

func element(b *bytes.Buffer, name, value string) {
	b.WriteString("<" + name + ">")
	xml.EscapeText(b, []byte(value))
	b.WriteString("</" + name + ">")
}

// writeXML sends a result document.
func writeXML(w http.ResponseWriter, v any) *s3Error {
	body, err := xml.Marshal(v)
	if err != nil {
		return errInternal(err)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(body)))
	w.Write([]byte(xml.Header))
	w.Write(body)
	return nil
}
