package web

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

const namespace = "focus"

// Role says which work a process does, and so which metrics it has: a copier
// that showed a time of no scan would look like a scanner that fails.
type Role struct{ Scans, Copies bool }

// An About says which process it is.
type About struct {
	Version, Revision string // of the build
	Route             string
	// Interval is the present time between two scans.
	Interval func() time.Duration
}

// A Queue is what the broker holds for the route.
type Queue struct {
	Live, Backfill uint64 // waiting
	InFlight       int    // lent to workers of any process
	Dead           uint64 // dead letters
	// OldestLive and OldestBackfill are when the oldest message of a lane was queued,
	// whatever became of it since; zero of an empty lane.
	OldestLive, OldestBackfill time.Time
}

// Sources are asked at each scrape. Those of work that the role does not do are
// not asked.
type Sources struct {
	Queue func(context.Context) (Queue, error)
	// InFlight counts the files whose bytes are moving in this process.
	InFlight func() int
	Gate     func() copier.GateState
	// Parts are the part buffers.
	Parts func() (inUse, limit int)
	// Slots are how many files may be copied at once now, and how many are configured.
	Slots func() (allowed, configured int)
	// Share is the part of the limits that this process has, in a second; 0 is without a
	// limit.
	Share func() (bytes, requests float64)
	// Paused reports whether an operator has paused the route.
	Paused func() bool
}

// A sweep is the last scan of all days. What it found of days that other scans do not
// list stands until the next: else an alert would end with the next scan, each day anew.
type sweep struct {
	mu   sync.Mutex
	last scanner.Stats
}

// take returns what the last sweep found beyond the window of st.
func (s *sweep) take(st scanner.Stats) (before scanner.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.Sweep {
		s.last = st
		return scanner.Stats{}
	}
	return s.last
}

// Metrics counts what happens. It is safe for concurrent use.
type Metrics struct {
	before   sweep
	registry *prometheus.Registry
	violated *prometheus.CounterVec
	scans    scanMetrics
	copies   copyMetrics
	notified *prometheus.CounterVec
}

type scanMetrics struct {
	discovered, published, queued, done, failed prometheus.Counter
	ineligible, scans, failures                 *prometheus.CounterVec
	seconds                                     prometheus.Histogram
	success                                     *moment
	dead, tooLarge, uploads, oldestUpload       *level
	expiring                                    *level
	verification                                *verificationCollector
	days                                        *prometheus.GaugeVec
}

type copyMetrics struct {
	copies, failures, retries, dead *prometheus.CounterVec
	bytes, skipped, vanished        prometheus.Counter
	resumed, swept                  prometheus.Counter
	seconds, delivery               prometheus.Histogram
	last, day                       *moment
	rows, reading                   prometheus.Counter
	unnoted                         *level
	statistics                      *prometheus.CounterVec
}

// NewMetrics makes the metrics of a role, each label at zero.
func NewMetrics(role Role, about About, s Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := m.gauges("build_info", "Always 1; the labels say what runs.", "version", "revision", "goversion")
	build.WithLabelValues(about.Version, about.Revision, runtime.Version()).Set(1)
	m.gauges("route_info", "Always 1; the label says which route the process works on.", "route").WithLabelValues(about.Route).Set(1)
	m.violated = m.counters("invariant_violations_total", "What must never happen and was noticed, by what it is.", "invariant")
	zero(m.violated, messages.Invariants()...)
	m.registry.MustRegister(newQueueCollector(s.Queue))
	m.gaugeFunc("paused", "1 while an operator has paused the route: nothing is copied, on no host, and scans go on.", nil, func() float64 {
		if s.Paused != nil && s.Paused() {
			return 1
		}
		return 0
	})
	m.notified = m.counters("notifications_total", "Messages and pings of alerts that were sent, by kind and result.", "kind", "result")
	for _, kind := range []string{"heartbeat", "webhook", "email", "slack", "teams"} {
		m.notified.WithLabelValues(kind, "ok")
		m.notified.WithLabelValues(kind, "failed")
	}
	if role.Scans {
		m.addScans(about.Interval)
	}
	if role.Copies {
		m.addCopies(s)
	}
	return m
}

func (m *Metrics) addScans(interval func() time.Duration) {
	m.scans = scanMetrics{
		discovered: m.counter("scan_discovered_total", "Objects that scans listed; the sum of published, queued, done, failed and ineligible."),
		published:  m.counter("scan_published_total", "Objects that scans put into the queue."),
		queued:     m.counter("scan_queued_total", "Objects that scans found in the queue already."),
		done:       m.counter("scan_done_total", "Objects for which scans found nothing left to do."),
		failed:     m.counter("scan_failed_total", "Objects that scans found too large or among the dead letters, or could not queue."),
		ineligible: m.counters("scan_ineligible_total", "Objects that are no reports, by the rule that they break.", "reason"),
		scans:      m.counters("scans_total", "Scans that ended, by result.", "result"),
		failures:   m.counters("scan_failures_total", "Scans that failed, by class.", "class"),
		seconds:    m.histogram("scan_duration_seconds", "Duration of scans, complete or not.", []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600}),
		success:    m.moment("last_successful_scan_timestamp_seconds", "End of the last complete scan; absent until the first since the start."),

		dead:         m.level("scan_dead_files", "Files that the last complete scan found among the dead letters; absent until the first since the start."),
		tooLarge:     m.level("scan_too_large_files", "Reports over advanced.max_file_size_gb that the last complete scan found; absent until the first since the start."),
		expiring:     m.level("expiring_files", "Reports that are not delivered and over 335 days old, so that Oracle will delete them soon, as the last scan of all days found them; absent until the first since the start."),
		uploads:      m.level("open_uploads", "Multipart uploads that were begun and neither completed nor aborted, as the ledger notes them after each scan; absent while that is not known."),
		oldestUpload: m.level("oldest_open_upload_timestamp_seconds", "Begin of the oldest open multipart upload; absent where there is none."),

		verification: newVerificationCollector(),
	}
	m.registry.MustRegister(m.scans.verification)
	m.scans.days = m.gauges("report_days", "Report days that agent.lookback_days reaches, by how they stood at the last complete scan; absent until the first since the start.", "state")
	m.gaugeFunc("poll_interval_seconds", "Time between two scans (agent.poll_interval).", nil, func() float64 { return interval().Seconds() })
	zero(m.scans.scans, "ok", "failed")
	zero(m.scans.failures, messages.Classes()...)
	// Too large is counted as failed: its data is missing at the destination.
	zero(m.scans.ineligible, messages.OutsidePrefix, messages.NotAReport, messages.BadDate, messages.BadName, messages.BadKey)
}

func (m *Metrics) addCopies(s Sources) {
	m.copies = copyMetrics{
		copies:   m.counters("copies_total", "Files that came to be at the destination: their bytes were copied, or were there and adopted or recorded.", "how"),
		failures: m.counters("failures_total", "Attempts that failed, by class.", "class"),
		retries:  m.counters("retries_total", "Attempts that failed and are repeated, by class.", "class"),
		dead:     m.counters("dead_total", "Files that were given up, by class.", "class"),
		bytes:    m.counter("copied_bytes_total", "Bytes of the files that were copied."),
		skipped:  m.counter("skipped_total", "Messages for which nothing was left to do."),
		vanished: m.counter("vanished_total", "Files that the source no longer had."),
		seconds:  m.histogram("copy_duration_seconds", "Duration of the attempts that copied a file.", []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800}),
		delivery: m.histogram("discovery_to_delivery_seconds", "Time from the discovery of a file to its delivery.", []float64{.5, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86400}),
		last:     m.moment("last_copy_timestamp_seconds", "When a file was last copied; absent until the first since the start."),
		day:      m.moment("newest_delivered_report_day_timestamp_seconds", "Begin (UTC) of the newest report day of which a file was delivered; absent until the first since the start."),
	}
	m.copies.resumed = m.counter("bytes_resumed_total", "Bytes of the files that were copied which were not sent again, since an earlier attempt had sent them.")
	m.copies.swept = m.counter("swept_uploads_total", "Multipart uploads that nobody owned any more and that were aborted.")
	m.copies.unnoted = m.level("unnoted_uploads", "Multipart uploads below the destination path that are older than a day and that the ledger does not know of, so that nobody knows whose they are; absent where the keys may not list them.")
	m.copies.rows = m.counter("report_rows_total", "Rows of the reports that were copied, as far as they were read (integrity.statistics).")
	m.copies.statistics = m.counters("report_statistics_total", "Reports that were copied, by what is known of their content: complete; skipped, so that numbers are of a part; invalid, no valid gzip.", "result")
	m.copies.reading = m.counter("report_reading_seconds_total", "Time for which reports were read for their statistics, one processor each.")
	zero(m.copies.statistics, "complete", "skipped", "invalid")
	zero(m.copies.copies, messages.HowCopied, messages.HowAdopted, messages.HowRecorded)
	for _, v := range []*prometheus.CounterVec{m.copies.failures, m.copies.retries, m.copies.dead} {
		zero(v, messages.Classes()...)
	}
	m.gaugeFunc("in_flight", "Files whose bytes are moving in this process.", nil, func() float64 { return float64(s.InFlight()) })
	m.gaugeFunc("part_buffers_in_use", "Part buffers that copies hold, by their bytes: small files share one.", nil, func() float64 { used, _ := s.Parts(); return float64(used) })
	m.gaugeFunc("part_buffers_limit", "Part buffers that copies can hold at most.", nil, func() float64 { _, limit := s.Parts(); return float64(limit) })
	m.gaugeFunc("slots_allowed", "Files that this process may read at once, and as many that it may write; fewer than configured while a side is overloaded.", nil, func() float64 { n, _ := s.Slots(); return float64(n) })
	m.gaugeFunc("slots_configured", "Files that this process reads at once, and as many that it writes, where both sides take it (agent.max_concurrent_transfers).", nil, func() float64 { _, n := s.Slots(); return float64(n) })
	m.gaugeFunc("limit_share_bytes", "Bytes that this process may read in a second: its part of limits.bandwidth; +Inf without a limit.", nil, func() float64 { n, _ := s.Share(); return unlimited(n) })
	m.gaugeFunc("limit_share_requests", "Requests that this process may send in a second: its part of limits.requests; +Inf without a limit.", nil, func() float64 { _, n := s.Share(); return unlimited(n) })
	for _, side := range []messages.Side{messages.Source, messages.Destination} {
		m.gaugeFunc("gate_open", "1 while this side fails for every file and is left alone.", prometheus.Labels{"side": string(side)}, func() float64 {
			if g := s.Gate(); g.Open && g.Side == side {
				return 1
			}
			return 0
		})
	}
}

// unlimited is a limit as it is shown, where 0 stands for none.
func unlimited(n float64) float64 {
	if n == 0 {
		return math.Inf(1)
	}
	return n
}

// Scanned takes the end of a scan.
func (m *Metrics) Scanned(st scanner.Stats, err error) {
	s := m.scans
	s.discovered.Add(float64(st.Discovered))
	s.published.Add(float64(st.Published))
	s.queued.Add(float64(st.Queued))
	s.done.Add(float64(st.Done))
	s.failed.Add(float64(st.Failed))
	for reason, n := range st.Ineligible {
		s.ineligible.WithLabelValues(string(reason)).Add(float64(n))
	}
	s.seconds.Observe(st.Seconds)
	if err != nil {
		s.scans.WithLabelValues("failed").Inc()
		s.failures.WithLabelValues(string(messages.ClassOf(err))).Inc()
		return
	}
	s.scans.WithLabelValues("ok").Inc()
	s.success.advance(time.Now())
	before := m.before.take(st)
	s.dead.set(float64(st.Dead + before.DeadBefore))
	s.tooLarge.set(float64(st.TooLarge + before.TooLargeBefore))
	if st.Sweep { // the others do not see days so old
		s.expiring.set(float64(st.Expiring))
	}
}

// Uploads takes how many multipart uploads are open and when the oldest of them
// began; zero where that is unknown.
func (m *Metrics) Uploads(open int, oldest time.Time) {
	m.scans.uploads.set(float64(open))
	if oldest.IsZero() {
		m.scans.oldestUpload.forget()
		return
	}
	m.scans.oldestUpload.set(seconds(oldest))
}

// Swept takes that an upload without an owner was ended.
func (m *Metrics) Swept() { m.copies.swept.Inc() }

// Unnoted takes how many uploads are at the destination that nobody knows of; known is
// false where that could not be asked.
func (m *Metrics) Unnoted(n int, known bool) {
	m.copies.unnoted.set(float64(n))
	if !known {
		m.copies.unnoted.forget()
	}
}

// NoUploads says that the open uploads are not known.
func (m *Metrics) NoUploads() {
	m.scans.uploads.forget()
	m.scans.oldestUpload.forget()
}

// Violated takes something that must never happen.
func (m *Metrics) Violated(i messages.Invariant) { m.violated.WithLabelValues(string(i)).Inc() }

// Notified takes the end of a request to an address of the alerts.
func (m *Metrics) Notified(kind string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.notified.WithLabelValues(kind, result).Inc()
}

// Copier takes an event of the copier.
func (m *Metrics) Copier(e copier.Event) {
	c := m.copies
	class := string(messages.ClassOf(e.Err))
	switch e.Kind {
	case copier.Inspected:
		c.reading.Add(e.Spent.Seconds())
	case copier.Finished:
		m.finished(e)
	case copier.Skipped:
		c.skipped.Inc()
	case copier.Vanished:
		c.vanished.Inc()
	case copier.Returned:
		if e.Err != nil {
			c.failures.WithLabelValues(class).Inc()
		}
	case copier.Retrying, copier.Held:
		c.failures.WithLabelValues(class).Inc()
		c.retries.WithLabelValues(class).Inc()
	case copier.Died:
		c.failures.WithLabelValues(class).Inc()
		c.dead.WithLabelValues(class).Inc()
	}
}

func (m *Metrics) finished(e copier.Event) {
	c, copied := m.copies, e.Record.Copy
	c.copies.WithLabelValues(copied.How).Inc()
	if copied.How == messages.HowCopied {
		c.bytes.Add(float64(e.Object.Size))
		c.resumed.Add(float64(e.Resumed))
		c.seconds.Observe(copied.Seconds)
		c.last.advance(e.Record.At)
		m.counted(copied.Statistics)
	}
	if !e.Discovered.IsZero() {
		c.delivery.Observe(max(0, e.Record.At.Sub(e.Discovered).Seconds())) // two clocks
	}
	if day, err := time.Parse(time.DateOnly, string(e.Report.Day)); err == nil {
		c.day.advance(day)
	}
}

func (m *Metrics) counted(s *messages.Statistics) {
	if s == nil {
		return
	}
	result := "complete"
	switch {
	case s.Gzip != "" && s.Gzip != messages.GzipValid:
		result = "invalid"
	case !s.Complete():
		result = "skipped"
	}
	m.copies.statistics.WithLabelValues(result).Inc()
	m.copies.rows.Add(float64(s.Rows))
}

// Handler serves the metrics.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
	})
}

// Gatherer is for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) gaugeFunc(name, help string, labels prometheus.Labels, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels}, f))
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) moment(name, help string) *moment {
	t := &moment{desc: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)}
	m.registry.MustRegister(t)
	return t
}

func (m *Metrics) level(name, help string) *level {
	l := &level{desc: prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)}
	m.registry.MustRegister(l)
	return l
}

// seconds is a time as Prometheus writes it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// zero makes a series visible before the first event.
func zero[S ~string](v *prometheus.CounterVec, labels ...S) {
	for _, l := range labels {
		v.WithLabelValues(string(l))
	}
}

// A moment is a time that only moves forward, and is absent until it is known: 0
// would read as 1970 and raise alarms at every start.
type moment struct {
	desc *prometheus.Desc
	mu   sync.Mutex
	at   time.Time
}

func (t *moment) advance(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.After(t.at) {
		t.at = at
	}
}

// Describe implements prometheus.Collector.
func (t *moment) Describe(ch chan<- *prometheus.Desc) { ch <- t.desc }

// Collect implements prometheus.Collector.
func (t *moment) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() {
		ch <- prometheus.MustNewConstMetric(t.desc, prometheus.GaugeValue, seconds(t.at))
	}
}

// A level is a number that is absent while it is not known.
type level struct {
	desc  *prometheus.Desc
	mu    sync.Mutex
	known bool
	value float64
}

func (l *level) set(v float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.value = true, v
}

func (l *level) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = false
}

// Describe implements prometheus.Collector.
func (l *level) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements prometheus.Collector.
func (l *level) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, l.value)
	}
}

// scrapeTime bounds what a scrape waits for the queue.
const scrapeTime = 2 * time.Second

// A queueCollector asks the queue at each scrape. Where it does not answer, its
// counts are absent: a zero would read as an empty queue.
type queueCollector struct {
	ask                                     func(context.Context) (Queue, error)
	up, waiting, oldest, inFlight, deadDesc *prometheus.Desc
}

func newQueueCollector(ask func(context.Context) (Queue, error)) *queueCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &queueCollector{
		ask:      ask,
		up:       desc("queue_up", "1 while the queue answers; the other metrics of the queue are absent while it does not."),
		waiting:  desc("queue_waiting", "Messages that wait for a copier, by lane.", "lane"),
		oldest:   desc("queue_oldest_message_timestamp_seconds", "When the oldest message of a lane was queued that is not settled yet: it waits, is lent, or rests before a retry; absent where there is none.", "lane"),
		inFlight: desc("queue_in_flight", "Messages that are lent to copiers of any process, or rest before a retry."),
		deadDesc: desc("dead_letters", "Dead letters of every route."),
	}
}

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.waiting, c.oldest, c.inFlight, c.deadDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	q, err := c.ask(ctx)
	if err != nil {
		gauge(c.up, 0)
		return
	}
	gauge(c.up, 1)
	gauge(c.waiting, float64(q.Live), string(messages.Live))
	gauge(c.waiting, float64(q.Backfill), string(messages.Backfill))
	for lane, at := range map[messages.Lane]time.Time{messages.Live: q.OldestLive, messages.Backfill: q.OldestBackfill} {
		if !at.IsZero() {
			gauge(c.oldest, seconds(at), string(lane))
		}
	}
	gauge(c.inFlight, float64(q.InFlight))
	gauge(c.deadDesc, float64(q.Dead))
}
