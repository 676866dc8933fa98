package simulator

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/csv"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// header is the 49 columns of Oracle's files as observed: the column set of
// FOCUS 1.0-preview with three names of Oracle's own, then the oci_ columns.
const header = "AvailabilityZone,BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd," +
	"BillingPeriodStart,ChargeCategory,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart," +
	"ChargeSubcategory,CommitmentDiscountCategory,CommitmentDiscountId,CommitmentDiscountName,CommitmentDiscountType," +
	"EffectiveCost,InvoiceIssuer,ListCost,ListUnitPrice,PricingCategory,PricingQuantity,PricingUnit,Provider,Publisher," +
	"Region,ResourceId,ResourceName,ResourceType,ServiceCategory,ServiceName,SkuId,SkuPriceId,SubAccountId," +
	"SubAccountName,Tags,UsageQuantity,UsageUnit,oci_ReferenceNumber,oci_CompartmentId,oci_CompartmentName," +
	"oci_OverageFlag,oci_UnitPriceOverage,oci_BilledQuantityOverage,oci_CostOverage,oci_AttributedUsage," +
	"oci_AttributedCost,oci_BackReferenceNumber"

// FocusReport is a gzip of a FOCUS report with the given number of rows for
// one usage day, with the quirks of the real files: three shapes of timestamp,
// tags as JSON with doubled quotes and at times without braces, line breaks
// inside fields, empty strings for null. The rows follow from the seed alone.
func FocusReport(seed uint64, day time.Time, rows int) Content {
	return &focusReport{seed: seed, day: day.UTC().Truncate(24 * time.Hour), rows: rows, level: gzip.DefaultCompression}
}

// LargeReport is the same without compression: a large file of few rows.
func LargeReport(seed uint64, day time.Time, rows int) Content {
	return &focusReport{seed: seed, day: day.UTC().Truncate(24 * time.Hour), rows: rows, level: gzip.NoCompression}
}

type focusReport struct {
	seed  uint64
	day   time.Time
	rows  int
	level int // of gzip

	measure sync.Once // guards the rest
	size    int64
	md5     string
	crc32c  string
}

// Size generates the report once to learn its size and sums, and keeps only
// those.
func (f *focusReport) Size() int64 {
	f.measure.Do(func() {
		m, c := md5.New(), crc32.New(castagnoli())
		f.size, _ = io.Copy(io.MultiWriter(m, c), f.Open(0))
		f.md5, f.crc32c = base64Sum(m), base64Sum(c)
	})
	return f.size
}

func (f *focusReport) declared() (string, string) {
	f.Size()
	return f.md5, f.crc32c
}

func (f *focusReport) Open(offset int64) io.Reader {
	r := &reportReader{left: f.rows, row: newRowMaker(f.seed, f.day)}
	r.zip, _ = gzip.NewWriterLevel(&r.out, f.level) // both levels are known to it
	r.csv = csv.NewWriter(r.zip)
	r.csv.Write(strings.Split(header, ","))
	io.CopyN(io.Discard, r, offset)
	return r
}

// reportReader makes rows when its reader asks for more bytes, so an abandoned
// one leaves nothing behind.
type reportReader struct {
	row  *rowMaker
	csv  *csv.Writer
	zip  *gzip.Writer
	out  bytes.Buffer
	left int
	done bool
}

func (r *reportReader) Read(p []byte) (int, error) {
	for r.out.Len() == 0 && !r.done {
		r.fill()
	}
	return r.out.Read(p)
}

func (r *reportReader) fill() {
	for range min(r.left, 100) {
		r.csv.Write(r.row.next())
		r.left--
	}
	r.csv.Flush()
	if r.left == 0 {
		r.zip.Close()
		r.done = true
	}
}

// product is one line of Oracle's price list, roughly.
type product struct {
	category, service, description, unit, kind string
	price                                      float64
}

func products() []product {
	return []product{
		{"Compute", "COMPUTE", "Oracle Cloud Infrastructure - Compute - Standard - E4 - OCPU", "OCPU Hours", "instance", 0.025},
		{"Compute", "COMPUTE", "Oracle Cloud Infrastructure - Compute - Standard - E4 - Memory", "Gigabyte Hours", "instance", 0.0015},
		{"Storage", "BLOCK_STORAGE", "Block Volume - Storage", "Gigabyte Storage Capacity Per Month", "volume", 0.0255},
		{"Storage", "OBJECTSTORE", "Object Storage - Storage", "Gigabyte Storage Capacity Per Month", "bucket", 0.0255},
		{"Networking", "NETWORK", "Outbound Data Transfer Zone 1", "Gigabyte Outbound Data Transfer Per Month", "vcn", 0.0085},
		{"Databases", "DATABASE", "Autonomous Data Warehouse - ECPU", "ECPU Per Hour", "autonomousdatabase", 0.336},
		{"Identity", "IDCS", "Oracle Identity Cloud Service - Standard", "Active User Per Hour", "idcsinstance", 0.0043},
	}
}

type rowMaker struct {
	rng      *rand.Rand
	day      time.Time
	products []product
	n        int
}

func newRowMaker(seed uint64, day time.Time) *rowMaker {
	return &rowMaker{rng: rand.New(rand.NewPCG(seed, uint64(day.Unix()))), day: day, products: products()}
}

// next makes one row: a resource for an hour of the usage day.
func (m *rowMaker) next() []string {
	m.n++
	p := m.products[m.rng.IntN(len(m.products))]
	start := m.day.Add(time.Duration(m.rng.IntN(24)) * time.Hour)
	month := time.Date(m.day.Year(), m.day.Month(), 1, 0, 0, 0, 0, time.UTC)
	quantity := float64(m.rng.IntN(64_000)+1) / 1000
	cost := quantity * p.price
	resource := fmt.Sprintf("ocid1.%s.oc1.iad.%s", p.kind, m.letters(40))
	back := ""
	if m.rng.IntN(200) == 0 { // a correction refers to the row it corrects
		cost, back = -cost/10, m.letters(44)
	}
	return []string{
		"IAD-AD-" + fmt.Sprint(m.rng.IntN(3)+1), money(cost), "ocid1.tenancy.oc1..simulated", "", "USD",
		m.timestamp(p, month.AddDate(0, 1, 0)), m.timestamp(p, month),
		"Usage", m.description(p), "Usage-Based",
		m.timestamp(p, start.Add(time.Hour)), m.timestamp(p, start), "", "", "", "", "",
		money(cost), "", money(cost), money(p.price), "", money(quantity), p.unit, "Oracle", "Oracle",
		"us-ashburn-1", resource, m.name(p), p.kind, p.category, p.service,
		fmt.Sprintf("B%05d", m.rng.IntN(90_000)+10_000), "", "ocid1.compartment.oc1..simulated", "production",
		m.tags(), money(quantity), p.unit, m.letters(44), "ocid1.compartment.oc1..simulated", "production",
		m.pick("N", "N", "N", "Y"), money(p.price), "0", "0", "", "", back,
	}
}

func money(v float64) string { return fmt.Sprintf("%.10g", v) }

// timestamp has seconds or not; Identity entries also have milliseconds.
func (m *rowMaker) timestamp(p product, t time.Time) string {
	switch {
	case p.service == "IDCS":
		return t.Format("2006-01-02T15:04:05.000Z")
	case m.rng.IntN(4) == 0:
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04Z")
}

func (m *rowMaker) description(p product) string {
	if m.rng.IntN(50) == 0 {
		return p.description + m.pick("\r\n(per hour)", "\n\"burst\", billed\nby the hour", "\rlegacy")
	}
	return p.description
}

func (m *rowMaker) name(p product) string {
	if m.rng.IntN(3) == 0 {
		return ""
	}
	return p.kind + m.pick("-web-", "-größe-", "-東京-", "-a,b-") + fmt.Sprint(m.rng.IntN(500))
}

func (m *rowMaker) tags() string {
	pairs := fmt.Sprintf(`"Oracle-Tags.CreatedBy": "user%d@example.com", "team": "%s"`, m.rng.IntN(40), m.pick("data", "web", "ops \\\"core\\\""))
	switch m.rng.IntN(8) {
	case 0:
		return "{}"
	case 1:
		return pairs
	}
	return "{" + pairs + "}"
}

func (m *rowMaker) pick(values ...string) string { return values[m.rng.IntN(len(values))] }

func (m *rowMaker) letters(n int) string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[m.rng.IntN(len(alphabet))]
	}
	return string(b)
}
