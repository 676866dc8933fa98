package messages

import "time"

// Statistics are what a report says of itself, gathered while its bytes passed. They
// are for people and for comparison: nothing is copied, refused or called done by
// them, but where the configuration asks for it.
type Statistics struct {
	// Gzip is "valid" where every member was read to its end and its checksum and
	// length are those of its trailer; else it says what is wrong. It is empty where it
	// was not looked at.
	Gzip    string `json:"gzip,omitempty"`
	Members int    `json:"members,omitempty"`
	// Bytes is the size of the content, in bytes.
	Bytes int64 `json:"bytes,omitempty"`
	// Rows does not count the header; Corrections are those of them that refer back to
	// an earlier row.
	Rows        int64 `json:"rows"`
	Corrections int64 `json:"corrections,omitempty"`
	// Sums are per billing period and currency, in this order.
	Sums []Sum `json:"sums,omitempty"`
	// First is the earliest begin of a charge period, Last the latest end.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Accounts and Services are how many different ones there are.
	Accounts int `json:"accounts,omitempty"`
	Services int `json:"services,omitempty"`
	// Missing are the columns of a FOCUS report by Oracle that the header lacks, Unknown
	// those that it has beyond them; at most twenty each.
	Missing []string `json:"missing,omitempty"`
	Unknown []string `json:"unknown,omitempty"`
	// Problems are what else is odd, in words; at most ten.
	Problems []string `json:"problems,omitempty"`
	// Skipped says why not everything was counted; then the numbers above are of a part,
	// or of nothing.
	Skipped string `json:"skipped,omitempty"`
}

// A Sum is the cost of one billing period in one currency, in exact decimals.
type Sum struct {
	// Period is the month in which the billing period begins, "2006-01".
	Period    string `json:"period"`
	Currency  string `json:"currency"`
	Billed    string `json:"billed"`
	Effective string `json:"effective"`
}

// Complete reports whether s tells of the whole report.
func (s *Statistics) Complete() bool { return s != nil && s.Skipped == "" && s.Gzip == GzipValid }

// GzipValid is the one good value of Statistics.Gzip.
const GzipValid = "valid"

// An Earlier is a version that stood at the destination before another one with other
// bytes took its place.
type Earlier struct {
	ETag       string      `json:"etag,omitempty"` // of the source
	Size       int64       `json:"size"`
	CRC32C     string      `json:"crc32c,omitempty"`
	At         time.Time   `json:"at"` // of its copy
	Statistics *Statistics `json:"statistics,omitempty"`
}
