package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const minChunk = 5 << 20

// normalize brings values to the one form that the rest of the program sees.
func (l *loader) normalize() {
	c := l.cfg
	for _, f := range l.fields {
		if p, ok := f.ptr.(*string); ok && f.isPath {
			*p = l.home(*p)
		}
	}
	c.OCI.Prefix = withSlash(c.OCI.Prefix)
	c.OCI.Auth = authAlias(c.OCI.Auth)
	c.OCI.Endpoint = strings.TrimSuffix(c.OCI.Endpoint, "/")
	c.OCI.UsageEndpoint = strings.TrimSuffix(c.OCI.UsageEndpoint, "/")
	c.S3.Endpoint = strings.TrimSuffix(c.S3.Endpoint, "/")
	c.NATS.URL = withSchemes(c.NATS.URL)
	c.State.Dir = c.StateDir(*l.opts.UID, l.lookup)
	if size := c.Advanced.ChunkSizeBytes; size > 0 && size < minChunk {
		c.Advanced.ChunkSizeBytes = minChunk
		l.warnAt("advanced.chunk_size_bytes", fmt.Sprintf("%d is below 5 MiB, the least that S3 takes, and is raised to it", size), "write 5242880 or more")
	}
}

// withSchemes adds nats:// to servers without a scheme, as NATS clients do.
func withSchemes(urls string) string {
	if urls == "" {
		return ""
	}
	servers := strings.Split(urls, ",")
	for i, s := range servers {
		s = strings.TrimSpace(s)
		if s != "" && !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		servers[i] = s
	}
	return strings.Join(servers, ",")
}

// refuse reports that the value of a key breaks a rule: text follows the value
// as it was written. A key that already has a problem gets no second one.
func (l *loader) refuse(key, text, fix string) {
	src := l.at(key)
	if f, ok := l.field(key); ok && f.secret {
		src.shown = "the value"
	}
	if !l.bad[key] {
		l.reject(src, &valueError{text, fix})
	}
}

// lacks reports a key without a value.
func (l *loader) lacks(key, text, fix string) {
	if !l.bad[key] {
		p := l.at(key).Problem
		p.Text, p.Fix = text, fix
		l.problem(p)
	}
}

func (l *loader) warnAt(key, text, fix string) {
	p := l.at(key).Problem
	p.Text, p.Fix = text, fix
	l.warn(p)
}

// check applies every rule to the whole configuration.
func (l *loader) check() {
	l.checkRequired()
	l.checkWords()
	l.checkRanges()
	l.checkPaths()
	l.checkEndpoints()
	l.checkNATS()
	l.checkNaming()
	l.checkListen()
	l.checkPrivate()
	l.checkTogether()
	l.checkExtras()
	l.checkSince()
	l.warnIgnored()
}

func (l *loader) checkRequired() {
	where := "set it in the file or set "
	if l.file == "" && cmp.Or(l.opts.Path, l.env[configVariable]) == "" {
		where = "there is neither " + localFile + " nor " + systemFile + ": name a file with --config, let `config init` write one, or set "
	}
	for _, f := range l.fields {
		if required(f.path) && f.text() == "" && !l.opts.Incomplete {
			l.lacks(f.path, "is required", where+f.env)
		}
	}
}

// bound is the range of one number.
type bound struct {
	key           string
	value, lo, hi float64
	unit          string
}

func (b bound) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s to %s %s", digits(b.lo), digits(b.hi), b.unit))
}

// limits is the range of a key, where it has one.
func limits(key string) (bound, bool) {
	all := bounds(Default())
	i := slices.IndexFunc(all, func(b bound) bool { return b.key == key })
	if i < 0 {
		return bound{}, false
	}
	return all[i], true
}

const day = 24 * 60 * 60

func bounds(c *Config) []bound {
	seconds := func(d Duration) float64 { return d.Std().Seconds() }
	return []bound{
		{"agent.poll_interval", seconds(c.Agent.PollInterval), 60, 7 * day, "seconds"},
		{"agent.lookback_days", float64(c.Agent.LookbackDays), 0, 3660, "days"},
		{"agent.max_concurrent_transfers", float64(c.Agent.MaxConcurrentTransfers), 1, 256, "files"},
		{"limits.requests", float64(c.Limits.Requests), 0, 1_000_000, "requests per second"},
		{"retry.max_retries", float64(c.Retry.MaxRetries), 0, 1000, "attempts"},
		{"retry.initial_delay", seconds(c.Retry.InitialDelay), 0.1, 3600, "seconds"},
		{"retry.backoff_multiplier", c.Retry.BackoffMultiplier, 1, 100, ""},
		{"retry.max_delay", seconds(c.Retry.MaxDelay), 0.1, day, "seconds"},
		{"retry.probe_interval", seconds(c.Retry.ProbeInterval), 1, 3600, "seconds"},
		{"retry.dead_after", seconds(c.Retry.DeadAfter), 60, 90 * day, "seconds"},
		{"logging.max_size_mb", float64(c.Logging.MaxSizeMB), 1, 10240, "MiB"},
		{"logging.backup_count", float64(c.Logging.BackupCount), 0, 1000, "files"},
		{"state.retention_days", float64(c.State.RetentionDays), 0, 36500, "days"},
		{"nats.replicas", float64(c.NATS.Replicas), 1, 5, ""},
		{"nats.ack_wait", seconds(c.NATS.AckWait), 1, day, "seconds"},
		{"verify.interval", seconds(c.Verify.Interval), 0, 30 * day, "seconds"},
		{"integrity.statistics_wait", seconds(c.Integrity.StatisticsWait), 0, 300, "seconds"},
		{"alerts.webhook_after", seconds(c.Alerts.WebhookAfter), 0, day, "seconds"},
		{"alerts.email.port", float64(c.Alerts.Email.Port), 0, 65535, ""},
		{"advanced.max_file_size_gb", c.Advanced.MaxFileSizeGB, 1, 5120, "GiB"},
		{"advanced.chunk_size_bytes", float64(c.Advanced.ChunkSizeBytes), minChunk, 512 << 20, "bytes"},
		{"advanced.stall_timeout", seconds(c.Advanced.StallTimeout), 1, 3600, "seconds"},
	}
}

func (l *loader) checkRanges() {
	for _, b := range bounds(l.cfg) {
		switch {
		case b.value < b.lo:
			l.refuse(b.key, "is too small", "use "+b.String())
		case b.value > b.hi:
			l.refuse(b.key, "is too large", "use "+b.String())
		}
	}
}

func digits(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// checkTogether holds the rules that tie one key to another.
func (l *loader) checkTogether() {
	c := l.cfg
	if c.Retry.MaxDelay < c.Retry.InitialDelay {
		l.refuse("retry.max_delay", "is below retry.initial_delay", "raise it to at least "+c.Retry.InitialDelay.String())
	}
	if limit, chunk := c.Advanced.MaxFileSize(), c.Advanced.ChunkSizeBytes; chunk >= minChunk && limit/chunk >= 10000 {
		l.refuse("advanced.chunk_size_bytes", "is too small for max_file_size_gb: an upload has at most 10000 parts",
			fmt.Sprintf("use at least %d", limit/10000+1))
	}
	for key, on := range map[string]bool{"integrity.require_valid_gzip": c.Integrity.RequireValidGzip, "integrity.metadata": c.Integrity.Metadata} {
		if on && !c.Integrity.Statistics {
			l.refuse(key, "needs integrity.statistics, which is false", "set both, or only integrity.statistics to false")
		}
	}
	if c.Limits.Bandwidth > 0 && c.Limits.Timetable != "" {
		l.refuse("limits.bandwidth", "is set beside limits.timetable, which tells it for every time", "keep one of them")
	}
	l.checkKeys()
	if (c.NATS.TLS.Cert == "") != (c.NATS.TLS.Key == "") {
		key, other := "nats.tls.cert", "nats.tls.key"
		if c.NATS.TLS.Cert == "" {
			key, other = other, key
		}
		l.refuse(key, "is set without "+other, "set both or neither")
	}
}

func (l *loader) checkKeys() {
	s := l.cfg.S3
	id, _ := l.field("s3.access_key_id")
	secret, _ := l.field("s3.secret_access_key")
	switch {
	case s.AccessKeyID.IsSet() && !s.SecretAccessKey.IsSet():
		l.lacks(secret.path, "is missing, while s3.access_key_id is set", "set "+secret.env+" or "+secret.env+"_FILE, or unset the other")
	case s.SecretAccessKey.IsSet() && !s.AccessKeyID.IsSet():
		l.lacks(id.path, "is missing, while s3.secret_access_key is set", "set "+id.env+" or "+id.env+"_FILE, or unset the other")
	case s.SessionToken.IsSet() && !s.AccessKeyID.IsSet():
		l.lacks("s3.session_token", "is set without s3.access_key_id", "set all three or none")
	case s.AccessKeyID.IsSet() && s.Profile != "":
		l.warnAt("s3.profile", "is ignored, because s3.access_key_id is set", "keep one of them")
	}
}

// checkExtras holds the rules of what objects are given beside their bytes, and
// names what works and makes no sense.
func (l *loader) checkExtras() {
	s := l.cfg.S3
	if s.KMSKeyID != "" && !strings.HasPrefix(s.SSE, "aws:kms") && !l.bad["s3.sse"] {
		l.refuse("s3.kms_key_id", "is set without s3.sse aws:kms", "set s3.sse to aws:kms or aws:kms:dsse, or remove the key")
	}
	if s.StorageClass == "GLACIER" || s.StorageClass == "DEEP_ARCHIVE" {
		l.warnAt("s3.storage_class", s.StorageClass+" cannot be read before somebody restores it, so Umbrella could not read the reports", "use GLACIER_IR, STANDARD_IA or none")
	}
	// A stack of containers sets the variables for whoever needs them.
	for _, key := range []string{"oci.config_file", "oci.profile"} {
		if l.cfg.origins[key].File != "" && !l.cfg.OCI.FromFile() && !l.bad["oci.auth"] {
			l.warnAt(key, "is ignored with oci.auth "+l.cfg.OCI.Auth, "remove it")
		}
	}
}

// checkSince refuses days before the first billing data and after today.
func (l *loader) checkSince() {
	since, ok := l.cfg.Agent.Since.Time()
	switch today := l.opts.Now().UTC(); {
	case !ok:
	case since.After(today):
		l.refuse("agent.since", "is in the future", "use a day up to "+today.Format(time.DateOnly)+" (UTC)")
	case since.Year() < 2016:
		l.refuse("agent.since", "is before Oracle had a cloud to bill", "use the first day whose costs you want")
	}
}

// warnIgnored names what is accepted for the sake of old files and has
// another effect than it says.
func (l *loader) warnIgnored() {
	c := l.cfg
	if !c.Advanced.ValidateChecksum {
		l.warnAt("advanced.validate_checksum", "false is ignored: every copy is verified before it is visible", "remove it")
	}
	if c.Agent.LookbackDays < 3 && c.Agent.LookbackDays >= 0 {
		l.warnAt("agent.lookback_days", "fewer than 3 count as 3, because reports come up to a day late", "use 3 or more")
	}
	if c.Embedded() && slices.Contains([]string{"verify", "none"}, c.NATS.Manage) {
		l.warnAt("nats.manage", "a queue inside the agent is made by nobody else, and will not work before setup", "remove it or set nats.url")
	}
}
