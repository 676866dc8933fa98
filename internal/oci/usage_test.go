package oci_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// october is a month that is over.
func october() time.Time { return time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC) }

// usageWorld has reports of October and of the first days of November.
func usageWorld(t *testing.T) world {
	t.Helper()
	return worldOf(t, simulator.Options{Days: 9, FilesPerDay: 2, Rows: 20, LastDay: time.Date(2026, 11, 4, 0, 0, 0, 0, time.UTC)},
		func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
}

func costs(t *testing.T, c *oci.Client, month time.Time) []oci.Cost {
	t.Helper()
	got, err := c.Costs(t.Context(), month)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCostsNoticeAFileThatOracleNeverWrote holds the account against the reports:
// taking one away changes what the bucket sums up to, and not what Oracle says.
func TestCostsNoticeAFileThatOracleNeverWrote(t *testing.T) {
	w := usageWorld(t)
	before := costs(t, w.client, october())
	if len(before) != 1 || before[0].Currency != "USD" || !strings.Contains(before[0].Amount, ".") {
		t.Fatalf("costs = %v, want one sum of dollars", before)
	}
	name := ""
	for _, o := range w.Source.Objects() {
		if strings.HasPrefix(o.Name, prefix+"2026/10/31/") && o.Content.Size() > 1000 {
			name = o.Name
		}
	}
	if err := w.OCI.Usage().Hide(name); err != nil {
		t.Fatal(err)
	}
	if after := costs(t, w.client, october()); !slices.Equal(after, before) {
		t.Errorf("costs = %v, want %v still", after, before)
	}
	w.Source.Remove(w.Source.Objects()[0].Name)
	if after := costs(t, w.client, october()); slices.Equal(after, before) {
		t.Errorf("costs = %v still, after a report and its costs went", after)
	}
	if november := costs(t, w.client, october().AddDate(0, 0, 1)); slices.Equal(november, before) {
		t.Errorf("November costs what October did: %v", november)
	}
	if none := costs(t, w.client, october().AddDate(-1, 0, 0)); len(none) != 0 {
		t.Errorf("costs of a month without any = %v", none)
	}
}

// TestCostsAreExact: an amount with more digits than a float has, in two currencies.
func TestCostsAreExact(t *testing.T) {
	w := usageWorld(t)
	for _, amount := range []string{"123456789012.000000000000001", "-0.000000000000000001"} {
		if err := w.OCI.Usage().Change("2026-10", "EUR", amount); err != nil {
			t.Fatal(err)
		}
	}
	if got := costs(t, w.client, october())[0]; got != (oci.Cost{Currency: "EUR", Amount: "123456789012.000000000000000999"}) {
		t.Errorf("cost = %v", got)
	}
}

func TestCostsWithoutAPolicySayWhichOneIsMissing(t *testing.T) {
	w := usageWorld(t)
	w.OCI.Usage().Deny(true)
	_, err := w.client.Costs(t.Context(), october())
	wantFault(t, err, messages.NotFound, "Allow group <group of the user> to read usage-report in tenancy")
	if n := w.OCI.Requests()["RequestSummarizedUsages"]; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	w.OCIFaults.Add(simulator.Rule{Op: "RequestSummarizedUsages", Do: simulator.Status(403, "NotAuthorized")})
	_, err = w.client.Costs(t.Context(), october())
	wantFault(t, err, messages.NotFound, "Allow group")
}

func TestCostsRepeatWhatPasses(t *testing.T) {
	w := usageWorld(t)
	want := costs(t, w.client, october())
	w.OCIFaults.Add(simulator.Rule{Op: "RequestSummarizedUsages", Times: 2, Do: simulator.Status(503, "ServiceUnavailable")})
	if got := costs(t, w.client, october()); !slices.Equal(got, want) {
		t.Errorf("costs = %v, want %v", got, want)
	}
	w.OCIFaults.Add(simulator.Rule{Op: "RequestSummarizedUsages", Do: simulator.Reset()})
	_, err := w.client.Costs(t.Context(), october())
	wantFault(t, err, messages.Connection)
}

func TestCostsAreSignedWithTheirBody(t *testing.T) {
	w := usageWorld(t)
	unknown := open(t, w.optionsWith(stranger(t)))
	_, err := unknown.Costs(t.Context(), october())
	wantFault(t, err, messages.Unauthenticated)

	// A proxy that changes the question changes what was signed.
	c := at(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), "2026-10", "2026-09", 1)))
		w.OCI.ServeHTTP(rw, r)
	}, func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
	_, err = c.Costs(t.Context(), october())
	wantFault(t, err, messages.Unauthenticated)
}

func (w world) optionsWith(change func(*oci.Options)) oci.Options {
	o := w.options
	change(&o)
	return o
}

// answers serves the same answer to every question, or the pages in turn.
func answers(t *testing.T, pages ...string) *oci.Client {
	t.Helper()
	return at(t, func(w http.ResponseWriter, r *http.Request) {
		n := 0
		fmt.Sscan(r.URL.Query().Get("page"), &n)
		if n+1 < len(pages) {
			w.Header().Set("opc-next-page", fmt.Sprint(n+1))
		}
		io.WriteString(w, pages[n])
	}, func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
}

func item(amount, currency string) string {
	return fmt.Sprintf(`{"timeUsageStarted":"2026-10-01T00:00:00.000Z","computedAmount":%s,"currency":%q}`, amount, currency)
}

func items(of ...string) string { return `{"groupBy":[],"items":[` + strings.Join(of, ",") + `]}` }

func TestCostsReadEveryPage(t *testing.T) {
	c := answers(t, items(item("0.1", "USD"), item("null", "USD"), item("0", " ")), items(item("0.2", "USD"), item("1E-7", "EUR")), items(item("7", "JPY")))
	want := []oci.Cost{{"EUR", "0.0000001"}, {"JPY", "7"}, {"USD", "0.3"}}
	if got := costs(t, c, october()); !slices.Equal(got, want) {
		t.Errorf("costs = %v, want %v", got, want)
	}
	forecast := strings.Replace(item("5", "USD"), "{", `{"isForecast":true,`, 1)
	if got := costs(t, answers(t, items(forecast)), october()); len(got) != 0 {
		t.Errorf("costs = %v, of a forecast", got)
	}
}

// TestCostsRefuseWhatTheyCannotPlace: half a sum would be taken for a whole one.
func TestCostsRefuseWhatTheyCannotPlace(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":               "<html>sign in</html>",
		"another JSON":          `{"code":0}`,
		"items that are null":   `{"items":null}`,
		"no currency":           items(item("1.5", "")),
		"another month":         items(strings.Replace(item("1", "USD"), "10-01", "09-01", 1)),
		"an absurd exponent":    items(item("1e999999999", "USD")),
		"a long exponent":       items(item("1e99999", "USD")),
		"an amount without end": items(item(strings.Repeat("9", 5000), "USD")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answers(t, answer).Costs(t.Context(), october())
			wantFault(t, err, messages.Unavailable, "oci.usage_endpoint")
		})
	}
	endless := at(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("opc-next-page", "again")
		io.WriteString(w, items())
	}, func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
	_, err := endless.Costs(t.Context(), october())
	wantFault(t, err, messages.Unavailable)
}

func TestCostsEndWithTheirContext(t *testing.T) {
	block := make(chan struct{})
	c := at(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-block:
		}
	}, func(o *oci.Options) { o.UsageEndpoint = o.Endpoint })
	t.Cleanup(func() { close(block) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	wantEnd(t, func() error {
		_, err := c.Costs(ctx, october())
		return err
	})
}

// TestUsageEndpointOfTheRegion: the Usage API is another service than Object
// Storage, so the endpoint of the latter says nothing about it.
func TestUsageEndpointOfTheRegion(t *testing.T) {
	for _, c := range []struct{ region, want string }{
		{"us-ashburn-1", "https://usageapi.us-ashburn-1.oci.oraclecloud.com"},
		{"eu-frankfurt-1", "https://usageapi.eu-frankfurt-1.oci.oraclecloud.com"},
		{"uk-gov-london-1", "https://usageapi.uk-gov-london-1.oci.oraclegovcloud.uk"},
	} {
		client := open(t, options(t, "https://objects.example.com", func(o *oci.Options) { o.Region = c.region }))
		if got := client.UsageEndpoint(); got != c.want {
			t.Errorf("endpoint of %s = %s, want %s", c.region, got, c.want)
		}
	}
	_, err := oci.Open(options(t, "", func(o *oci.Options) { o.UsageEndpoint = "https://example.com/path" }))
	wantConfigError(t, err, "oci.usage_endpoint")
}

func TestUsageStatementForEachKind(t *testing.T) {
	for kind, want := range map[oci.Kind]string{
		oci.APIKey:            "Allow group <group of the user> to read usage-report in tenancy",
		oci.SessionToken:      "Allow group <group of the user> to read usage-report in tenancy",
		oci.InstancePrincipal: "Allow dynamic-group <dynamic group> to read usage-report in tenancy",
		oci.WorkloadIdentity:  "Allow any-user to read usage-report in tenancy where ALL {request.principal.type = 'workload',",
	} {
		if got := (oci.Identity{Kind: kind}).UsageStatement(); !strings.HasPrefix(got, want) {
			t.Errorf("statement of %s = %q, want %q", kind, got, want)
		}
	}
}
