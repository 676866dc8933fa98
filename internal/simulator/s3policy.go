package simulator

import (
	"net/http"
	"strings"
)

// Policy says whether an access key may do an operation, such as "PutObject". It
// is also asked for "PutObjectTagging", "PutObjectAcl" and "kms:GenerateDataKey"
// where an upload has tags, an ACL, or encryption by a key of KMS.
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

// And permits what p does, and the given operations.
func (p Policy) And(ops ...string) Policy {
	allowed := " " + strings.Join(ops, " ") + " "
	return func(op string) bool { return p(op) || strings.Contains(allowed, " "+op+" ") }
}

// checkExtras refuses what an upload asks for beside its bytes and its key may
// not do. For a key of KMS the answer names the action, as Amazon's does; for
// the others it does not, as where the bucket is of another account.
func (id *identity) checkExtras(h http.Header) *s3Error {
	switch {
	case h.Get("x-amz-tagging") != "" && !id.allows("PutObjectTagging"), h.Get("x-amz-acl") != "" && !id.allows("PutObjectAcl"):
		return errAccessDenied()
	case kms(h) && !id.allows("kms:GenerateDataKey"):
		e := errAccessDenied()
		e.message = "User: arn:aws:iam::111122223333:user/simulated is not authorized to perform: kms:GenerateDataKey on the resource " +
			"associated with this ciphertext because no identity-based policy allows the kms:GenerateDataKey action"
		return e
	}
	return nil
}

// kms reports whether an upload is to be encrypted by a key of KMS.
func kms(h http.Header) bool {
	return strings.HasPrefix(h.Get("x-amz-server-side-encryption"), "aws:kms")
}
