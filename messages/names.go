package messages

import (
	"errors"
	"fmt"
	"strings"
)

// A Lane is one of the two queues that a file can wait in.
type Lane string

// Live is for files of the scan window, Backfill for older days, which never
// delay fresh ones.
const (
	Live     Lane = "live"
	Backfill Lane = "backfill"
)

// CheckName accepts what can stand as one token of a subject, a bucket or a key:
// 1 to 32 of A-Z a-z 0-9 _ and -. what names the setting in the error.
func CheckName(what, s string) error {
	if s == "" || len(s) > 32 {
		return fmt.Errorf("%s %q: use 1 to 32 characters", what, s)
	}
	for i := range len(s) {
		if !plain(s[i]) {
			return fmt.Errorf("%s %q: use only letters, digits, _ and -", what, s)
		}
	}
	return nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

const hexDigits = "0123456789ABCDEF"

// EncodeToken writes every byte outside [A-Za-z0-9_-] as =XX, so that any name
// is one token of a subject or key, distinct names stay distinct, and an
// operator can still read it. The empty name is "=".
func EncodeToken(s string) string {
	if s == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// DecodeToken reverses EncodeToken and accepts nothing that EncodeToken does not write.
func DecodeToken(s string) (string, error) {
	if s == "=" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("decode %q: an = lacks its two digits", s)
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("decode %q: %q is not =XX", s, s[i:i+3])
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	out := b.String()
	if EncodeToken(out) != s {
		return "", errors.New("decode " + s + ": not in the one form that is written")
	}
	return out, nil
}

// Subject is where a file waits: <prefix>.files.<lane>.<route>.<name>, one
// subject per file, so that the stream can refuse to queue a file twice.
func Subject(prefix string, lane Lane, route, name string) string {
	return prefix + ".files." + string(lane) + "." + route + "." + EncodeToken(name)
}

// AnyLane is the filter that covers a file in both lanes.
func AnyLane(prefix, route, name string) string {
	return prefix + ".files.*." + route + "." + EncodeToken(name)
}

// DeadSubject is where the dead letter of a file stands. A message whose file
// cannot even be told is filed under the name that its subject ends in.
func DeadSubject(prefix, route, name string) string {
	return prefix + ".dead." + route + "." + EncodeToken(name)
}

// MsgID is the Nats-Msg-Id of m: <route>/<name>@<version>#<generation>, with
// .<epoch> behind it once a new destination was accepted, for which the same
// version is queued again. It only guards the publisher's own retries; the ledger
// is the memory.
func (m FileDiscovered) MsgID() string {
	id := fmt.Sprintf("%s/%s@%s#%d", m.Route, m.Object.Name, m.Object.Version(), m.Generation)
	if m.Epoch > 0 {
		id += fmt.Sprintf(".%d", m.Epoch)
	}
	return id
}

// RecordKey is the ledger key of a report: <route>.<yyyy>.<mm>.<dd>.<basename>.
func RecordKey(route string, r Report) string {
	return DayPrefix(route, r.Day) + "." + EncodeToken(r.Basename)
}

// DayPrefix is what the ledger keys of one report day begin with, without the
// last dot.
func DayPrefix(route string, d Day) string {
	return route + "." + strings.ReplaceAll(string(d), "-", ".")
}

// ParseRecordKey reverses RecordKey; ok is false for every other key of the bucket.
func ParseRecordKey(key string) (route string, d Day, basename string, ok bool) {
	f := strings.Split(key, ".")
	if len(f) != 5 {
		return "", "", "", false
	}
	d = Day(f[1] + "-" + f[2] + "-" + f[3])
	basename, err := DecodeToken(f[4])
	if err != nil || !d.Valid() || CheckName("route", f[0]) != nil {
		return "", "", "", false
	}
	return f[0], d, basename, true
}

// MarksKey is the ledger key of the scan marks of a route.
func MarksKey(route string) string { return route + ".scan" }

// IdentityKey is the ledger key of the identity of a route.
func IdentityKey(route string) string { return route + ".meta" }

// LimitPrefix is what the ledger keys of the leases begin with by which the workers of a
// route share its limits, without the last dot.
func LimitPrefix(route string) string { return route + ".limit" }

// LimitKey is the ledger key of the lease of a worker.
func LimitKey(route, worker string) string { return LimitPrefix(route) + "." + EncodeToken(worker) }

// UploadKey is the ledger key of the multipart upload of a file.
func UploadKey(route, name string) string { return route + ".upload." + EncodeToken(name) }
