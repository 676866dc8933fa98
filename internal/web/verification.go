package web

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"oracle-focus-agent/messages"
)

// A verificationCollector shows the last comparison of source, ledger and destination;
// nothing before there was one, since a zero would read as "nothing differs".
type verificationCollector struct {
	files, at, readable *prometheus.Desc

	mu    sync.Mutex
	known bool
	last  messages.Verification
}

func newVerificationCollector() *verificationCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "verification", name), help, labels, nil)
	}
	return &verificationCollector{
		files:    desc("files", "Files of the last comparison of source, ledger and destination, by result; absent before the first.", "result"),
		at:       desc("timestamp_seconds", "Begin of the last comparison of source, ledger and destination; absent before the first."),
		readable: desc("destination_readable", "1 where the last comparison could look at the destination, 0 where it compared source and ledger alone."),
	}
}

// Verified takes the last comparison, whichever process made it.
func (m *Metrics) Verified(v messages.Verification) {
	c := m.scans.verification
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.last = true, v
}

// Describe implements prometheus.Collector.
func (c *verificationCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.files
	ch <- c.at
	ch <- c.readable
}

// Collect implements prometheus.Collector.
func (c *verificationCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return
	}
	v := c.last
	for result, n := range map[string]int{
		"equal": v.Equal, "pending": v.Pending, "missing": v.Missing, "only_there": v.OnlyThere,
		"different": v.Different, "error": v.Errors, "ingested": v.Ingested, "discarded": v.Discarded,
	} {
		ch <- prometheus.MustNewConstMetric(c.files, prometheus.GaugeValue, float64(n), result)
	}
	readable := 1.0
	if v.Destination == "unreadable" {
		readable = 0
	}
	ch <- prometheus.MustNewConstMetric(c.at, prometheus.GaugeValue, seconds(v.Started))
	ch <- prometheus.MustNewConstMetric(c.readable, prometheus.GaugeValue, readable)
}
