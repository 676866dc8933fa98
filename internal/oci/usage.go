package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/messages"
)

const (
	usageTemplate = "https://usageapi.{region}.oci.{secondLevelDomain}"
	usagePath     = "/20200107/usage"

	// maxUsagePages and maxUsageBody bound what one question may answer. Without
	// groups there is one item per currency.
	maxUsagePages = 100
	maxUsageBody  = 8 << 20
)

// A Cost is what a tenancy was charged in one currency, by Oracle's own account.
type Cost struct {
	Currency string
	// Amount is the exact decimal that Oracle's answer holds, or the exact sum where
	// it holds several.
	Amount string
}

// Costs asks Oracle's Usage API for the costs of the calendar month of a time, in
// UTC, sorted by currency. It needs a policy of its own (see UsageStatement); the
// fault is of the class NotFound where that is missing.
//
// The SDK's own client for this API reads amounts as float32, which has seven
// digits: too few for money. So the request goes through the SDK's signer and
// transport, and the answer's numbers are read as they stand.
func (c *Client) Costs(ctx context.Context, month time.Time) ([]Cost, error) {
	first := time.Date(month.UTC().Year(), month.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	op := "ask the Usage API for the costs of " + first.Format("2006-01")
	sums := sums{}
	seen := map[string]bool{}
	for token := ""; ; {
		answer, err := again(ctx, c.pauses, op, func() (usageAnswer, error) { return c.usage(ctx, op, first, token) })
		if err != nil {
			return nil, err
		}
		if err := answer.addTo(sums, first); err != nil {
			return nil, c.usageFault(c.fault(ctx, op, notOracle{err}, nil))
		}
		if token = answer.next; token == "" {
			return sums.costs(), nil
		}
		if seen[token] || len(seen) == maxUsagePages {
			return nil, c.usageFault(c.fault(ctx, op, notOracle{errors.New("the pages of the answer come to no end")}, nil))
		}
		seen[token] = true
	}
}

// UsageStatement is the policy that Costs needs, in the root compartment of the
// tenancy, word for word.
func (id Identity) UsageStatement() string {
	switch id.Kind {
	case InstancePrincipal, ResourcePrincipal:
		return "Allow dynamic-group <dynamic group> to read usage-report in tenancy"
	case WorkloadIdentity:
		_, where, _ := strings.Cut(id.Statements()[1], " where ")
		return "Allow any-user to read usage-report in tenancy where " + where
	}
	return "Allow group <group of the user> to read usage-report in tenancy"
}

// A usageQuestion is the body of a request.
type usageQuestion struct {
	TenantID    string    `json:"tenantId"`
	Started     time.Time `json:"timeUsageStarted"`
	Ended       time.Time `json:"timeUsageEnded"` // exclusive
	Granularity string    `json:"granularity"`
	QueryType   string    `json:"queryType"`
}

type usageAnswer struct {
	Items []usageItem `json:"items"`
	next  string
}

type usageItem struct {
	Started    time.Time   `json:"timeUsageStarted"`
	Amount     json.Number `json:"computedAmount"`
	Currency   string      `json:"currency"`
	IsForecast bool        `json:"isForecast"`
}

// usage makes one call.
func (c *Client) usage(ctx context.Context, op string, first time.Time, token string) (usageAnswer, error) {
	limited, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	resp, err := c.postUsage(detach(limited), usageQuestion{
		TenantID: c.options.Bucket, Started: first, Ended: first.AddDate(0, 1, 0), Granularity: "MONTHLY", QueryType: "COST",
	}, token)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err = foreign(err); err == nil {
		var a usageAnswer
		if a, err = readUsage(resp); err == nil {
			return a, nil
		}
	}
	return usageAnswer{}, c.usageFault(c.fault(ctx, op, err, resp))
}

func (c *Client) postUsage(ctx context.Context, q usageQuestion, token string) (*http.Response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, usagePath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.URL.RawQuery = url.Values{"page": {token}}.Encode()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	base := c.sdk.BaseClient
	base.Host, base.BasePath = c.UsageEndpoint(), ""
	return base.Call(ctx, req)
}

// UsageEndpoint is where Costs asks, https://host[:port].
func (c *Client) UsageEndpoint() string {
	if c.options.UsageEndpoint != "" {
		return c.options.UsageEndpoint
	}
	return common.StringToRegion(c.keys.identity().Region).EndpointForTemplate("usageapi", usageTemplate)
}

// readUsage refuses what is not a whole answer, in particular one of some proxy
// that would otherwise pass for no costs at all.
func readUsage(resp *http.Response) (usageAnswer, error) {
	var a usageAnswer
	if resp.StatusCode != http.StatusOK {
		return a, notOracle{fmt.Errorf("the answer has the status %s", resp.Status)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxUsageBody))
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, notOracle{errors.New("the answer cannot be read as costs")}
	}
	if a.Items == nil {
		return a, notOracle{errors.New("the answer holds no list of costs")}
	}
	a.next = resp.Header.Get("opc-next-page")
	return a, nil
}

// addTo adds up an answer. What it cannot place is an error: a sum that lacks
// something would make a file that is missing look delivered, or the reverse.
func (a usageAnswer) addTo(s sums, first time.Time) error {
	for _, item := range a.Items {
		if item.IsForecast || item.Amount == "" {
			continue
		}
		amount, err := decimal(item.Amount.String())
		if err != nil {
			return err
		}
		currency := strings.TrimSpace(item.Currency)
		switch {
		case amount.Sign() == 0 && currency == "":
			continue // Oracle leaves the currency out where nothing was used
		case currency == "":
			return errors.New("the answer holds an amount without a currency")
		case item.Started.Before(first) || !item.Started.Before(first.AddDate(0, 1, 0)):
			return errors.New("the answer speaks of another month")
		}
		s.add(currency, amount)
	}
	return nil
}

// number bounds what is taken for an amount: a long exponent would make a number
// of as many digits.
var number = regexp.MustCompile(`^-?[0-9]{1,30}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)

func decimal(text string) (*big.Rat, error) {
	if r, ok := new(big.Rat).SetString(text); number.MatchString(text) && ok {
		return r, nil
	}
	return nil, errors.New("the answer holds an amount that is no number of money")
}

// sums are the exact amounts by currency.
type sums map[string]*big.Rat

func (s sums) add(currency string, amount *big.Rat) {
	if s[currency] == nil {
		s[currency] = new(big.Rat)
	}
	s[currency].Add(s[currency], amount)
}

func (s sums) costs() []Cost {
	costs := []Cost{}
	for currency, sum := range s {
		costs = append(costs, Cost{currency, plainDecimal(sum)})
	}
	slices.SortFunc(costs, func(x, y Cost) int { return strings.Compare(x.Currency, y.Currency) })
	return costs
}

// plainDecimal writes a sum of decimals without an exponent, exactly.
func plainDecimal(r *big.Rat) string {
	places, _ := r.FloatPrec() // a sum of decimals always has an end
	return r.FloatString(places)
}

// usageFault names the policy where Oracle hides behind a 404 that it is missing,
// and the setting that this endpoint has.
func (c *Client) usageFault(err error) error {
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok {
		return err
	}
	switch f.Class {
	case messages.Gone, messages.NotFound, messages.Forbidden:
		f.Class = messages.NotFound
		f.Remedy = "Oracle's own totals need a policy of their own, in the root compartment, in the home region: " + c.keys.identity().UsageStatement()
	default:
		f.Remedy = strings.ReplaceAll(f.Remedy, "oci.endpoint", "oci.usage_endpoint")
		f.Remedy = strings.ReplaceAll(f.Remedy, "Object Storage does not redirect", "the Usage API does not redirect")
	}
	return err
}
