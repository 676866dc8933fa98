package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"oracle-focus-agent/messages"
)

var (
	routeName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	natsPrefix = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
	natsInbox  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,3}$`)
	regionName = regexp.MustCompile(`^[A-Za-z0-9-]{2,40}$`)
	ociName    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	tenancy    = regexp.MustCompile(`^ocid1\.tenancy\.[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*\.[A-Za-z0-9_-]+$`) // realm, region or none, unique
	awsAccount = regexp.MustCompile(`^[0-9]{12}$`)
	timeOfDay  = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	kmsKey     = regexp.MustCompile(`^[A-Za-z0-9:/_-]{1,512}$`)
	s3Bucket   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// stillTemplate is what is wrong with a value that nobody filled in.
const stillTemplate = "still holds a <PLACEHOLDER> of the template"

func placeholder(s string) bool { return strings.Contains(s, "<") && strings.Contains(s, ">") }

// word is the rule of one text: its form, or its choices.
type word struct {
	key, value string
	form       *regexp.Regexp
	text, fix  string
}

// checkWords judges each text for itself. An empty one is unset and fine:
// checkRequired knows the others.
func (l *loader) checkWords() {
	c := l.cfg
	region := "letters, digits and dashes, such as us-ashburn-1"
	for _, w := range []word{
		{"oci.bucket", c.OCI.Bucket, tenancy, "is not a tenancy OCID", "use the OCID of your tenancy, ocid1.tenancy.oc1..…"},
		{"oci.namespace", c.OCI.Namespace, ociName, "is not a namespace", "use bling, where Oracle keeps the reports of everyone"},
		{"oci.region", c.OCI.Region, regionName, "is not a region", "use " + region},
		{"oci.name", c.OCI.Name, routeName, "is not a route name", "use 1 to 32 letters, digits, _ and -"},
		{"s3.region", c.S3.Region, regionName, "is not a region", "use " + strings.Replace(region, "us-ashburn-1", "us-east-1", 1)},
		{"s3.kms_key_id", c.S3.KMSKeyID, kmsKey, "is not a key of KMS", "use its id, its ARN, or alias/<name>"},
		{"s3.expected_bucket_owner", c.S3.ExpectedBucketOwner, awsAccount, "is not an account", "use the 12 digits of the account that owns the bucket"},
		{"nats.prefix", c.NATS.Prefix, natsPrefix, "is not a prefix", "use 1 to 32 lower-case letters, digits, _ and -"},
		{"alerts.digest_at", c.Alerts.DigestAt, timeOfDay, "is not a time of day", "write it as 07:00, in UTC"},
		{"nats.inbox_prefix", c.NATS.InboxPrefix, natsInbox, "is not a subject without wildcards", "use words of letters, digits, _ and -, such as _INBOX_copier"},
	} {
		switch {
		case w.value == "" || w.form.MatchString(w.value):
		case placeholder(w.value):
			l.refuse(w.key, stillTemplate, w.fix)
		default:
			l.refuse(w.key, w.text, w.fix)
		}
	}
	l.choice("oci.auth", c.OCI.Auth)
	l.choice("s3.storage_class", c.S3.StorageClass)
	l.choice("s3.sse", c.S3.SSE)
	l.choice("s3.acl", c.S3.ACL)
	l.choice("nats.manage", c.NATS.Manage)
	l.choice("integrity.changed", c.Integrity.Changed)
	l.choice("verify.absent", c.Verify.Absent)
	l.choice("logging.format", c.Logging.Style())
	if _, err := parseLevel(c.Logging.Level); err != nil {
		l.refuse("logging.level", "is not a level", choose("logging.level", strings.ToUpper(c.Logging.Level)))
	}
}

// choices are the words that a key takes; it takes any where there are none.
func choices(key string) []string {
	switch key {
	case "oci.auth":
		return []string{"api_key", "session_token", "instance_principal", "resource_principal", "workload_identity"}
	case "s3.storage_class":
		return []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY", "GLACIER", "DEEP_ARCHIVE"}
	case "s3.sse":
		return []string{"AES256", "aws:kms", "aws:kms:dsse"}
	case "s3.acl":
		return []string{"private", "bucket-owner-full-control", "bucket-owner-read"}
	case "alerts.email.tls":
		return []string{"starttls", "implicit", "none"}
	case "integrity.changed":
		return []string{"replace", "hold"}
	case "verify.absent":
		return []string{"missing", "ingested"}
	case "nats.manage":
		return []string{"create", "verify", "none"}
	case "logging.format":
		return []string{"text", "json", "classic"}
	case "logging.level":
		return []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
	}
	return nil
}

func (l *loader) choice(key, value string) {
	if value != "" && !slices.Contains(choices(key), value) {
		l.refuse(key, "is not known", choose(key, value))
	}
}

// choose is the advice to take one of the choices, the nearest first.
func choose(key, value string) string {
	words := choices(key)
	advice := "use " + words[0]
	if last := len(words) - 1; last > 0 {
		advice = "use " + strings.Join(words[:last], ", ") + " or " + words[last]
	}
	if near := suggest(value, slices.Clone(words)); near != "" {
		return near + " " + advice
	}
	return advice
}

func (l *loader) checkPaths() {
	c := l.cfg
	if text := badPath(c.OCI.Prefix); text != "" {
		l.refuse("oci.prefix", text, `write it as in "FOCUS Reports/", without a leading /`)
	}
	if c.S3.BucketPath != "" {
		if text := badBucketPath(c.S3); text != "" {
			l.refuse("s3.bucket_path", text, "write it as Umbrella gave it, s3://bucket/organization/customer/account")
		}
	}
	if c.State.Dir == "" && c.Embedded() && !l.opts.Incomplete {
		l.lacks("state.dir", "has no default, because HOME is not set", "set it in the file or set FOCUS_STATE_DIR")
	}
}

// badBucketPath is what is wrong with s3.bucket_path, or empty.
func badBucketPath(s S3) string {
	prefix := s.KeyPrefix()
	switch {
	case !strings.HasPrefix(s.BucketPath, "s3://"):
		return "does not start with s3://"
	case placeholder(s.BucketPath):
		return stillTemplate
	case s.Bucket() == "":
		return "has no bucket"
	case strings.Contains(s.Bucket(), "@"):
		return "holds a user or a password"
	case !s3Bucket.MatchString(s.Bucket()) || strings.Contains(s.Bucket(), ".."):
		return "has no valid bucket name"
	case strings.ContainsAny(prefix, " \u00a0"):
		return "holds a space, which Umbrella's importer refuses"
	case len(prefix) > 512:
		return "is too long"
	}
	return badPath(prefix)
}

// badPath is what is wrong with a prefix of object names, or empty.
func badPath(prefix string) string {
	if prefix == "" {
		return ""
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		switch segment {
		case "":
			return "has an empty segment"
		case ".", "..":
			return "holds " + segment + " as a segment"
		}
	}
	if len(prefix) > 900 {
		return "is too long"
	}
	return ""
}

func (l *loader) checkEndpoints() {
	l.endpoint("oci.endpoint", l.cfg.OCI.Endpoint)
	l.endpoint("oci.usage_endpoint", l.cfg.OCI.UsageEndpoint)
	l.endpoint("s3.endpoint", l.cfg.S3.Endpoint)
	l.checkAlerts()
}

// address is a URL with a path that is a secret.
func (l *loader) address(key string, value Secret) {
	u, err := url.Parse(value.Reveal())
	switch {
	case !value.IsSet():
	case err != nil || !validHost(u) || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(value.Reveal(), " "):
		l.refuse(key, "is not an address", "write it as https://host/path")
	case u.Scheme == "http" && !l.cfg.Advanced.AllowInsecureEndpoint && !loopback(u.Hostname()):
		l.refuse(key, "would go over the network in the clear", "use https://, or set advanced.allow_insecure_endpoint to true in a network you trust")
	}
}

func (l *loader) endpoint(key, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || !validHost(u) || u.Scheme != "https" && u.Scheme != "http":
		l.refuse(key, "is not an endpoint", "write it as https://host or https://host:port")
	case strings.ContainsAny(value, "@?#") || u.Path != "":
		l.refuse(key, "has more than a scheme, a host and a port", "write it as https://host or https://host:port")
	case u.Scheme == "http" && !l.cfg.Advanced.AllowInsecureEndpoint && !loopback(u.Hostname()):
		l.refuse(key, "would send reports over the network in the clear", "use https://, or set advanced.allow_insecure_endpoint to true in a network you trust")
	}
}

// validHost tells whether a URL has a host and either no port or a real one.
func validHost(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Hostname() != "" && (err == nil && port > 0 || u.Port() == "" && !strings.HasSuffix(u.Host, ":"))
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

func (l *loader) checkNATS() {
	n := l.cfg.NATS
	if n.URL != "" {
		if text, fix := badServers(n.URL); text != "" {
			l.refuse("nats.url", text, fix)
		}
	}
	if n.Creds != "" && n.NkeyFile != "" {
		l.refuse("nats.nkey_file", "is set beside nats.creds", "keep one of them")
	}
	switch {
	case l.cfg.Embedded() && n.Replicas > 1:
		l.refuse("nats.replicas", "needs more servers than the one inside the agent", "use 1 or set nats.url")
	case n.Replicas == 2 || n.Replicas == 4:
		l.refuse("nats.replicas", "is no better than one fewer", "use 1, 3 or 5")
	}
}

// badServers is what is wrong with a list of NATS servers and what to do, or
// empty. It repeats nothing of a URL that may hold a password.
func badServers(list string) (text, fix string) {
	web := 0
	servers := strings.Split(list, ",")
	for _, s := range servers {
		u, err := url.Parse(s)
		switch {
		case err == nil && u.User != nil, strings.Contains(s, "@"):
			return "holds a user or a password", "remove it and use nats.creds or nats.nkey_file"
		case err != nil || !validHost(u):
			return "is not a list of servers", "write it as nats://host:4222,nats://other:4222"
		case !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			return "has another scheme than NATS", "use nats, tls, ws or wss"
		case u.Path != "" && u.Path != "/" || strings.ContainsAny(s, "?#"):
			return "has more than a scheme, a host and a port", "write it as nats://host:4222"
		case strings.HasPrefix(u.Scheme, "ws"):
			web++
		}
	}
	if web > 0 && web < len(servers) {
		return "mixes WebSocket and other servers", "use ws and wss for all or for none"
	}
	return "", ""
}

// minToken is how many characters nobody guesses.
const minToken = 32

// checkListen takes every interface for health and metrics, and for the page where it
// asks who comes.
func (l *loader) checkListen() {
	if t := l.cfg.HTTP.Token; t.IsSet() && len(t.Reveal()) < minToken {
		l.refuse("http.token", "is shorter than 32 characters", "make one with: openssl rand -hex 32")
	}
	value := l.cfg.HTTP.Listen
	if value == "" {
		if l.cfg.HTTP.Page {
			l.refuse("http.page", "has no address to be served on", "set http.listen, such as to 127.0.0.1:9464")
		}
		return
	}
	const fix = "write it as 127.0.0.1:9464, or as 0.0.0.0:9464 for every interface"
	host, port, err := net.SplitHostPort(value)
	_, bad := netip.ParseAddr(host)
	switch {
	case err != nil:
		l.refuse("http.listen", "is not host:port", fix)
	case host != "" && bad != nil && !hostName.MatchString(host):
		l.refuse("http.listen", "has no valid host", fix)
	default:
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			l.refuse("http.listen", "has no port from 0 to 65535", fix)
		}
		if l.cfg.HTTP.Page && !l.cfg.HTTP.Proves() && !loopback(host) {
			l.refuse("http.page", "would let everybody who reaches http.listen give orders and read names of reports",
				"set http.token (FOCUS_HTTP_TOKEN_FILE) or http.basic_auth_file, or let http.listen be 127.0.0.1:"+port)
		}
	}
}

// checkNaming judges the date; package messages judges what it makes of the
// template.
func (l *loader) checkNaming() {
	l.checkDateFormat()
	n := l.cfg.Naming
	_, err := messages.NewNaming(n.Template, n.DateFormat, n.Separator, n.AllowNested)
	if err == nil || l.bad["naming.date_format"] || l.bad["naming.separator"] || l.bad["naming.allow_nested"] {
		return
	}
	reason := ""
	if inner := errors.Unwrap(err); inner != nil && !l.fromVariables("naming.template", "naming.date_format", "naming.separator") {
		reason = ": " + inner.Error()
	}
	if _, err := messages.NewNaming(n.Template, n.DateFormat, Default().Naming.Separator, n.AllowNested); err == nil {
		l.refuse("naming.separator", "makes no good names"+reason, `use "_"`)
		return
	}
	l.refuse("naming.template", "makes no good names"+reason,
		`use "{date}{separator}{basename}", or "{YYYY}_{MM}_{DD}/{basename}" for Umbrella's newer layout`)
}

// fromVariables tells whether a value was made from a variable, which no message
// may repeat.
func (l *loader) fromVariables(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return len(l.at(key).variables) > 0 })
}

func (l *loader) checkDateFormat() {
	format := l.cfg.Naming.DateFormat
	found := map[byte]bool{}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		i++
		if i == len(format) || !strings.ContainsRune("Ymd%", rune(format[i])) {
			l.refuse("naming.date_format", "holds an unsupported token", "use %Y, %m and %d only (%% for a percent sign)")
			return
		}
		found[format[i]] = true
	}
	if !found['Y'] || !found['m'] || !found['d'] {
		l.refuse("naming.date_format", "lacks a part of the date, so that two days would share names", "use each of %Y, %m and %d")
	}
}
