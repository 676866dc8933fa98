package web

import (
	"fmt"
	"net/http"
)

// A Problem is an error that a caller can do something about, in the form of RFC 9457.
type Problem struct {
	// Type is a name for programs, such as "about:blank" or "/problems/count".
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Remedy says what to do.
	Remedy string `json:"remedy,omitempty"`
	// Count is the number of files that an order would have been about, where it confirmed
	// another one.
	Count *int `json:"count,omitempty"`
}

func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Remedy
}

// NewProblem is one with the title of its status. Its type names nothing further.
func NewProblem(status int, detail, remedy string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Remedy: remedy}
}

// MiscountProblem is one about an order that confirmed another number of files than it
// would have been about.
func MiscountProblem(confirmed, count int) *Problem {
	p := NewProblem(http.StatusConflict,
		fmt.Sprintf("the order confirms %d files, and is about %d now; nothing was done", confirmed, count),
		"look at the preview again and confirm its number")
	p.Type, p.Title, p.Count = "urn:oracle-focus-agent:count", "The number of files has changed", &count
	return p
}
