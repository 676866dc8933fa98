package simulator

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// usagePath is where the Usage API answers; Oracle has a host of its own for it.
const usagePath = "/20200107/usage"

// Usage is Oracle's own account of the costs, which the Usage API answers from: the
// sums of the generated reports in the bucket. An agent that delivered all of them
// has the same sums, and one that lacks a report has not.
type Usage struct {
	source *Source

	mu     sync.Mutex
	known  map[*entry]costs
	extra  costs // beside what is in the bucket
	denied bool
}

// costs are exact sums by month and currency.
type costs map[costKey]*big.Rat

type costKey struct{ month, currency string }

func newUsage(source *Source) *Usage {
	return &Usage{source: source, known: map[*entry]costs{}, extra: costs{}}
}

// Usage is what the Usage API answers from.
func (o *OCI) Usage() *Usage { return o.usage }

// Hide takes a report out of the bucket and leaves its costs in the account: a
// file that Oracle never wrote.
func (u *Usage) Hide(name string) error {
	e, ok := u.source.lookup(name)
	if !ok {
		return fmt.Errorf("%q is not in the bucket", name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.extra.add(costsOf(e))
	u.source.Remove(name)
	return nil
}

// Change adds an amount, such as -1.5, to a month, such as 2026-10.
func (u *Usage) Change(month, currency, amount string) error {
	sum, ok := new(big.Rat).SetString(amount)
	if _, err := time.Parse("2006-01", month); err != nil || !ok || currency == "" {
		return fmt.Errorf("month %q, currency %q, amount %q: write them as 2026-10, USD and -1.5", month, currency, amount)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.extra.add(costs{{month, currency}: sum})
	return nil
}

// Deny has the API answer as Oracle does where the policy is missing, or no longer.
func (u *Usage) Deny(all bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.denied = all
}

// A UsageOrder changes the account, in words.
type UsageOrder struct {
	Hide     string `json:"hide,omitempty"` // the name of a report
	Month    string `json:"month,omitempty"`
	Currency string `json:"currency,omitempty"`
	Amount   string `json:"amount,omitempty"` // added to the month; may be negative
	Deny     *bool  `json:"deny,omitempty"`
}

func (u *Usage) obey(o UsageOrder) (UsageOrder, error) {
	var errs []error
	if o.Hide != "" {
		errs = append(errs, u.Hide(o.Hide))
	}
	if o.Month+o.Currency+o.Amount != "" {
		errs = append(errs, u.Change(o.Month, o.Currency, o.Amount))
	}
	if o.Deny != nil {
		u.Deny(*o.Deny)
	}
	return o, errors.Join(errs...)
}

func (c costs) add(more costs) {
	for key, amount := range more {
		if c[key] == nil {
			c[key] = new(big.Rat)
		}
		c[key].Add(c[key], amount)
	}
}

// costsOf adds up a report. What is no report has no costs.
func costsOf(e *entry) costs {
	sums := costs{}
	unzipped, err := gzip.NewReader(e.Content.Open(0))
	if err != nil {
		return sums
	}
	rows := csv.NewReader(unzipped)
	head, err := rows.Read()
	cost, currency, start := slices.Index(head, "BilledCost"), slices.Index(head, "BillingCurrency"), slices.Index(head, "BillingPeriodStart")
	if err != nil || min(cost, currency, start) < 0 {
		return sums
	}
	for {
		row, err := rows.Read()
		if err != nil {
			return sums
		}
		if amount, ok := new(big.Rat).SetString(row[cost]); ok && len(row[start]) >= len("2006-01") {
			sums.add(costs{{row[start][:len("2006-01")], row[currency]}: amount})
		}
	}
}

// total is the account as it is now.
func (u *Usage) total() costs {
	entries := u.source.from("", -1)
	u.mu.Lock()
	defer u.mu.Unlock()
	sums := costs{}
	sums.add(u.extra)
	for _, e := range entries {
		if u.known[e] == nil {
			u.known[e] = costsOf(e)
		}
		sums.add(u.known[e])
	}
	return sums
}

// usageQuestion is the body of RequestSummarizedUsages, as far as it is understood.
type usageQuestion struct {
	TenantID    string    `json:"tenantId"`
	Started     time.Time `json:"timeUsageStarted"`
	Ended       time.Time `json:"timeUsageEnded"`
	Granularity string    `json:"granularity"`
	QueryType   string    `json:"queryType"`
}

type usageItem struct {
	Started  string      `json:"timeUsageStarted"`
	Ended    string      `json:"timeUsageEnded"`
	Amount   json.Number `json:"computedAmount"`
	Currency string      `json:"currency"`
}

// serveUsage answers RequestSummarizedUsages by month.
func (o *OCI) serveUsage(w http.ResponseWriter, r *http.Request) *ociError {
	q, err := o.usageQuestion(r)
	if err != nil {
		return err
	}
	total := o.usage.total()
	keys := slices.SortedFunc(maps.Keys(total), func(x, y costKey) int { return strings.Compare(x.month+x.currency, y.month+y.currency) })
	const form = "2006-01-02T15:04:05.000Z"
	items := []usageItem{}
	for _, key := range keys {
		month, err := time.Parse("2006-01", key.month)
		if err == nil && !month.Before(q.Started) && month.Before(q.Ended) {
			places, _ := total[key].FloatPrec()
			items = append(items, usageItem{month.Format(form), month.AddDate(0, 1, 0).Format(form), json.Number(total[key].FloatString(places)), key.currency})
		}
	}
	writeJSON(w, map[string]any{"groupBy": []string{}, "items": items})
	return nil
}

// usageQuestion checks what the API checks: who asks, that the body is what was
// signed, and the times.
func (o *OCI) usageQuestion(r *http.Request) (q usageQuestion, err *ociError) {
	body, readErr := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if readErr != nil || !signsBody(r, body) {
		return q, notAuthenticated("The required information to complete authentication was not provided or was incorrect.")
	}
	o.usage.mu.Lock()
	denied := o.usage.denied
	o.usage.mu.Unlock()
	bad := func(message string) *ociError {
		return &ociError{http.StatusBadRequest, "InvalidParameter", message}
	}
	midnight := func(t time.Time) bool { return t.Equal(t.UTC().Truncate(24 * time.Hour)) }
	switch {
	case json.Unmarshal(body, &q) != nil:
		return q, bad("Unable to process JSON input")
	case denied || q.TenantID != o.Bucket:
		return q, &ociError{http.StatusNotFound, "NotAuthorizedOrNotFound", "Authorization failed or requested resource not found."}
	case !midnight(q.Started) || !midnight(q.Ended):
		return q, bad("Passed UTC date does not have the right precision: hours, minutes, seconds, and second fractions must be 0")
	case q.Granularity != "MONTHLY" || q.QueryType != "" && q.QueryType != "COST":
		return q, bad("the simulator knows costs by month")
	case !q.Started.Before(q.Ended) || q.Started.UTC().Day() != 1:
		return q, bad("the times are no months")
	}
	return q, nil
}

// signsBody tells whether the signature, which was verified, covers the body.
func signsBody(r *http.Request, body []byte) bool {
	params, _ := signatureParams(r.Header.Get("Authorization"))
	signed := strings.Fields(strings.ToLower(params["headers"]))
	for _, name := range []string{"content-length", "content-type", "x-content-sha256"} {
		if !slices.Contains(signed, name) {
			return false
		}
	}
	sum := sha256.Sum256(body)
	return r.Header.Get("x-content-sha256") == base64.StdEncoding.EncodeToString(sum[:])
}
