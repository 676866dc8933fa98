package simulator

import "strings"

// Policy says whether an access key may do an operation, such as "PutObject".
type Policy func(op string) bool

// AllowAll permits everything.
func AllowAll(string) bool { return true }

// PutOnly permits writing and nothing else, as the keys of a drop box do: also
// a HEAD of an existing object is forbidden.
func PutOnly(op string) bool {
	switch op {
	case "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload":
		return true
	}
	return false
}

// Deny permits what p does, less the given operations.
func (p Policy) Deny(ops ...string) Policy {
	denied := " " + strings.Join(ops, " ") + " "
	return func(op string) bool { return p(op) && !strings.Contains(denied, " "+op+" ") }
}
