package simulator_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/internal/simulator"
)

// account asks the Usage API with the SDK's signer, which signs the body too.
func account(t *testing.T, sim *simulator.Simulation, question string) (int, map[string]string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.OCIURL+"/20200107/usage", strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	provider := common.NewRawConfigurationProvider(sim.Key.Tenancy, sim.Key.User, sim.OCIRegion, sim.Key.Fingerprint, string(sim.Key.PEM()), nil)
	if err := common.DefaultRequestSigner(provider).Sign(req); err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) (int, map[string]string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Items []struct {
			Started  string      `json:"timeUsageStarted"`
			Computed json.Number `json:"computedAmount"`
			Currency string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, i := range answer.Items {
		sums[i.Started[:7]+" "+i.Currency] = i.Computed.String()
	}
	return resp.StatusCode, sums
}

func question(sim *simulator.Simulation, from, to string) string {
	return `{"tenantId":"` + sim.OCIBucket + `","timeUsageStarted":"` + from + `","timeUsageEnded":"` + to + `","granularity":"MONTHLY","queryType":"COST"}`
}

// billed adds up the reports of a month by itself.
func billed(t *testing.T, sim *simulator.Simulation, month string) *big.Rat {
	t.Helper()
	sum := new(big.Rat)
	for _, o := range sim.Source.Objects() {
		unzipped, err := gzip.NewReader(o.Content.Open(0))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(unzipped).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		cost, start := slices.Index(rows[0], "BilledCost"), slices.Index(rows[0], "BillingPeriodStart")
		for _, row := range rows[1:] {
			if amount, ok := new(big.Rat).SetString(row[cost]); ok && strings.HasPrefix(row[start], month) {
				sum.Add(sum, amount)
			}
		}
	}
	return sum
}

func TestUsageIsTheSumOfTheReports(t *testing.T) {
	sim := start(t, simulator.Options{Days: 4, FilesPerDay: 2, Rows: 9, LastDay: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), ControlAddress: "127.0.0.1:0"})
	q := question(sim, "2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z")
	_, got := account(t, sim, q)
	for _, month := range []string{"2026-02", "2026-03"} {
		if sum, ok := new(big.Rat).SetString(got[month+" USD"]); !ok || sum.Cmp(billed(t, sim, month)) != 0 || sum.Sign() == 0 {
			t.Errorf("%s = %q, want %s", month, got[month+" USD"], billed(t, sim, month).FloatString(20))
		}
	}
	ask(t, "POST", sim.ControlURL+"/v1/usage", `{"hide":"`+sim.Source.Objects()[0].Name+`"}`, nil)
	if _, hidden := account(t, sim, q); hidden["2026-02 USD"] != got["2026-02 USD"] || len(sim.Source.Objects()) != 7 {
		t.Errorf("a hidden report no longer counts, or is still there: %v", hidden)
	}
	ask(t, "POST", sim.ControlURL+"/v1/usage", `{"month":"2026-02","currency":"EUR","amount":"-1.50"}`, nil)
	if _, changed := account(t, sim, q); changed["2026-02 EUR"] != "-1.5" {
		t.Errorf("changed: %v", changed)
	}
	ask(t, "POST", sim.ControlURL+"/v1/usage", `{"deny":true}`, nil)
	if status, _ := account(t, sim, q); status != http.StatusNotFound {
		t.Errorf("denied: status %d, want 404", status)
	}
}

func TestUsageChecksTheQuestion(t *testing.T) {
	sim := start(t, simulator.Options{})
	const from, to = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"
	for name, c := range map[string]struct {
		question string
		status   int
	}{
		"right":           {question(sim, from, to), http.StatusOK},
		"another tenancy": {strings.Replace(question(sim, from, to), sim.OCIBucket, "ocid1.tenancy.oc1..other", 1), http.StatusNotFound},
		"no midnight":     {question(sim, "2026-02-01T00:00:01Z", to), http.StatusBadRequest},
		"no month":        {question(sim, "2026-02-02T00:00:00Z", to), http.StatusBadRequest},
		"no JSON":         {"month", http.StatusBadRequest},
		"hours":           {strings.Replace(question(sim, from, to), "MONTHLY", "HOURLY", 1), http.StatusBadRequest},
	} {
		if status, _ := account(t, sim, c.question); status != c.status {
			t.Errorf("%s: status %d, want %d", name, status, c.status)
		}
	}
}

// TestUsageRefusesAnotherBody: the signature covers the body by its digest, so an
// answer proves that the question arrived as it was asked.
func TestUsageRefusesAnotherBody(t *testing.T) {
	sim := start(t, simulator.Options{})
	provider := common.NewRawConfigurationProvider(sim.Key.Tenancy, sim.Key.User, sim.OCIRegion, sim.Key.Fingerprint, string(sim.Key.PEM()), nil)
	for name, signer := range map[string]common.HTTPRequestSigner{
		"a digest of other bytes": common.DefaultRequestSigner(provider),
		"no digest":               common.RequestSignerExcludeBody(provider),
	} {
		body := question(sim, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
		signed, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.OCIURL+"/20200107/usage", strings.NewReader(body))
		signed.Header.Set("Content-Type", "application/json")
		signed.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		if err := signer.Sign(signed); err != nil {
			t.Fatal(err)
		}
		signed.Body = io.NopCloser(bytes.NewReader([]byte(strings.Replace(body, "2026-02", "2026-01", 1))))
		if status, _ := send(t, signed); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, status)
		}
	}
}
