// Package config reads the configuration of an agent: defaults, then a YAML
// file, then FOCUS_* variables, then flags, each beating the one before.
//
// It guarantees that a [Config] which [Load] returned keeps every rule of the
// product, that all problems of an input are reported at once and where they
// stand, and that no secret is printed by any formatter. It only reads: a crash
// leaves nothing behind.
package config

// Config is the whole configuration. Its sections and keys are those of the
// YAML file; the desc tags are the only description of a key, and the
// reference documentation is made from them (see [Keys]).
//
// To add a key, add a field here, its default in [Default] and its rule in
// check.go: the file, the environment and the documentation follow from the
// tags.
type Config struct {
	OCI       OCI       `yaml:"oci" split_words:"true" desc:"The source: Oracle's bucket of FOCUS reports"`
	S3        S3        `yaml:"s3" split_words:"true" desc:"The destination: Umbrella's bucket"`
	Agent     Agent     `yaml:"agent" split_words:"true" desc:"How often and how much"`
	Limits    Limits    `yaml:"limits" split_words:"true" desc:"What all workers of a route together may take"`
	Retry     Retry     `yaml:"retry" split_words:"true" desc:"After a failure"`
	Logging   Logging   `yaml:"logging" split_words:"true" desc:"Where log lines go and how they look"`
	State     State     `yaml:"state" split_words:"true" desc:"What the agent keeps on disk"`
	NATS      NATS      `yaml:"nats" split_words:"true" desc:"Queue and ledger"`
	Naming    Naming    `yaml:"naming" split_words:"true" desc:"Names at the destination, below s3.bucket_path"`
	HTTP      HTTP      `yaml:"http" split_words:"true" desc:"The listener for probes, metrics and the status page"`
	Integrity Integrity `yaml:"integrity" split_words:"true" desc:"What is read of the reports while they are copied"`
	Verify    Verify    `yaml:"verify" split_words:"true" desc:"Comparison of source, ledger and destination"`
	Alerts    Alerts    `yaml:"alerts" split_words:"true" desc:"Who is told how it goes"`
	Advanced  Advanced  `yaml:"advanced" split_words:"true" desc:"What few installations change"`

	file    string
	origins map[string]source
	again   func() (*Config, error)
}

// Again is the configuration as its file, and the files that hold secrets, are now. What is
// wrong with them is an error, as at the first time.
func (c *Config) Again() (*Config, error) {
	if c.again == nil { // it was read from nowhere
		return c, nil
	}
	return c.again()
}

// OCI is the source: Oracle's bucket of FOCUS reports.
type OCI struct {
	ConfigFile    string `yaml:"config_file" split_words:"true" path:"true" desc:"OCI configuration file; empty: the SDK's own order ($OCI_CONFIG_FILE, ~/.oci/config)"`
	Profile       string `yaml:"profile" split_words:"true" desc:"profile in the OCI configuration file"`
	Namespace     string `yaml:"namespace" split_words:"true" desc:"Object Storage namespace of the reports"`
	Bucket        string `yaml:"bucket" split_words:"true" desc:"bucket of the reports: the tenancy OCID (required)"`
	Prefix        string `yaml:"prefix" split_words:"true" empty:"true" desc:"prefix of the reports in the bucket; a trailing / is added where missing"`
	Auth          string `yaml:"auth" split_words:"true" desc:"way to authenticate; docs/identities.md says which one when"`
	Region        string `yaml:"region" split_words:"true" desc:"home region of the tenancy; empty: the region of the profile, or of $OCI_REGION"`
	Endpoint      string `yaml:"endpoint" split_words:"true" desc:"Object Storage endpoint in place of Oracle's, https://host[:port]"`
	UsageEndpoint string `yaml:"usage_endpoint" split_words:"true" desc:"Usage API endpoint in place of Oracle's, https://host[:port]; only report --compare and test --live ask there"`
	Name          string `yaml:"name" split_words:"true" desc:"name of the route from this source to this destination; one route per process"`
}

// S3 is the destination: Umbrella's bucket.
type S3 struct {
	BucketPath      string `yaml:"bucket_path" split_words:"true" desc:"destination, s3://bucket/prefix (required)"`
	Region          string `yaml:"region" split_words:"true" desc:"region of the bucket; empty: $AWS_REGION, $AWS_DEFAULT_REGION, the profile, then us-east-1"`
	AccessKeyID     Secret `yaml:"access_key_id" split_words:"true" desc:"access key; empty: the AWS credential chain; never as a literal in the file"`
	SecretAccessKey Secret `yaml:"secret_access_key" split_words:"true" desc:"secret of the access key; never as a literal in the file"`
	SessionToken    Secret `yaml:"session_token" split_words:"true" desc:"session token of temporary credentials; never as a literal in the file"`
	Endpoint        string `yaml:"endpoint" split_words:"true" desc:"S3 endpoint in place of Amazon's, https://host[:port]"`
	PathStyle       bool   `yaml:"path_style" split_words:"true" desc:"put the bucket into the path of a URL instead of the host name"`
	ContentMd5      bool   `yaml:"content_md5" split_words:"true" desc:"where Oracle declares an MD5 and no CRC32C, have S3 verify it, for reports of up to a chunk, instead of computing it; only where test --live has shown that a wrong one is refused (s3.put.md5)"`
	UnsignedPayload bool   `yaml:"unsigned_payload" split_words:"true" desc:"over http, sign no SHA-256 of each body, which its CRC32C alone then guards, as always over https; saves CPU"`
	Profile         string `yaml:"profile" split_words:"true" desc:"profile in the AWS configuration; empty: $AWS_PROFILE, then default"`

	StorageClass        string `yaml:"storage_class" split_words:"true" desc:"storage class of the objects; empty: that of the bucket"`
	SSE                 string `yaml:"sse" split_words:"true" desc:"encryption of the objects; empty: that of the bucket"`
	KMSKeyID            string `yaml:"kms_key_id" split_words:"true" desc:"key for s3.sse aws:kms and aws:kms:dsse, an id or an ARN; empty: the account's own for S3"`
	ACL                 string `yaml:"acl" split_words:"true" desc:"canned ACL of the objects, for a bucket that takes ACLs; empty: none"`
	Tags                Tags   `yaml:"tags" split_words:"true" desc:"at most 10 tags of the objects, key=value,key=value; in the file also a mapping or a list; needs s3:PutObjectTagging"`
	ExpectedBucketOwner string `yaml:"expected_bucket_owner" split_words:"true" desc:"account that the bucket must belong to, 12 digits; empty: any"`
}

// Agent is how much and how often.
type Agent struct {
	PollInterval           Duration `yaml:"poll_interval" split_words:"true" desc:"time between two scans, at least 60 s"`
	LookbackDays           int      `yaml:"lookback_days" split_words:"true" desc:"report days that each scan looks back; fewer than 3 count as 3"`
	MaxConcurrentTransfers int      `yaml:"max_concurrent_transfers" split_words:"true" desc:"files read at the same time by one process, and as many written"`
	DaemonMode             bool     `yaml:"daemon_mode" split_words:"true" desc:"false: run does one sync and ends"`
	Since                  Day      `yaml:"since" split_words:"true" desc:"first report day to care for, YYYY-MM-DD; empty: where the first scan begins"`
}

// Limits are what all workers of a route together may take, however many there are.
type Limits struct {
	Bandwidth Rate      `yaml:"bandwidth" split_words:"true" desc:"bytes per second that they read from the source, and send on; 0: no limit"`
	Requests  int       `yaml:"requests" split_words:"true" desc:"requests per second that they send to both sides; 0: no limit"`
	Timetable Timetable `yaml:"timetable" split_words:"true" desc:"limits.bandwidth by time, in UTC, with a comma between two entries, such as 08:00 20MB,18:00 off,Sat-08:00 off; each stands until the next; in the file also a list; empty: none"`
}

// Retry is what happens after a failure.
type Retry struct {
	MaxRetries        int      `yaml:"max_retries" split_words:"true" desc:"failed attempts of one file that one sync waits for; the queue goes on trying"`
	InitialDelay      Duration `yaml:"initial_delay" split_words:"true" desc:"delay before the first repeat"`
	BackoffMultiplier float64  `yaml:"backoff_multiplier" split_words:"true" desc:"factor between one delay and the next"`
	MaxDelay          Duration `yaml:"max_delay" split_words:"true" desc:"longest delay between two attempts"`
	ProbeInterval     Duration `yaml:"probe_interval" split_words:"true" desc:"time between two probes of a provider that fails for every file"`
	DeadAfter         Duration `yaml:"dead_after" split_words:"true" desc:"age of a file's first failure from which on it is given up, while others succeed"`
}

// Logging is where log lines go and how they look.
type Logging struct {
	Level       string `yaml:"level" split_words:"true" desc:"lowest level to log: DEBUG, INFO, WARNING, ERROR or CRITICAL"`
	File        string `yaml:"file" split_words:"true" path:"true" desc:"log file, rotated; empty: standard error only"`
	MaxSizeMB   int    `yaml:"max_size_mb" split_words:"true" desc:"size in MiB at which the log file is rotated"`
	BackupCount int    `yaml:"backup_count" split_words:"true" desc:"rotated log files to keep"`
	Format      string `yaml:"format" split_words:"true" desc:"text, json or classic; any Python %-format means classic"`
}

// State is what the agent keeps on disk.
type State struct {
	File          string `yaml:"file" split_words:"true" path:"true" desc:"state.json of the Python agent; the first start looks whether there is one, and state import takes it over"`
	Dir           string `yaml:"dir" split_words:"true" path:"true" desc:"directory of the queue, lock and socket; empty: /var/lib/oracle-focus-agent for root, else $XDG_STATE_HOME/oracle-focus-agent"`
	RetentionDays int    `yaml:"retention_days" split_words:"true" desc:"age in days from which on the record of a file that the source no longer lists is forgotten; 0: never"`
	ExportDir     string `yaml:"export_dir" split_words:"true" path:"true" desc:"directory for an export of the ledger each day, of which 7 are kept; empty: none"`
}

// NATS is the queue and the ledger. Plain nats:// is allowed to any host: the
// messages hold no secret, and credentials are only ever signatures.
type NATS struct {
	URL         string   `yaml:"url" split_words:"true" desc:"servers, comma separated (nats, tls, ws, wss); empty: $NATS_URL, then a server inside the agent"`
	Creds       string   `yaml:"creds" split_words:"true" path:"true" private:"true" desc:"credentials file; empty: $NATS_CREDS"`
	NkeyFile    string   `yaml:"nkey_file" split_words:"true" path:"true" private:"true" desc:"nkey seed file, instead of creds"`
	TLS         TLS      `yaml:"tls" split_words:"true"`
	Prefix      string   `yaml:"prefix" split_words:"true" desc:"name of every stream, bucket and subject, so that installations can share a server"`
	InboxPrefix string   `yaml:"inbox_prefix" split_words:"true" desc:"subject below which the answers of the server arrive; a server with roles gives each its own"`
	Service     bool     `yaml:"service" split_words:"true" desc:"tell the status of each instance to whoever asks over NATS, as nats service ls does; needs permission to subscribe to $SRV.> and to answer"`
	StoreDir    string   `yaml:"store_dir" split_words:"true" path:"true" desc:"files of the server inside the agent; empty: <state.dir>/nats"`
	Replicas    int      `yaml:"replicas" split_words:"true" desc:"replicas of every stream: 1, 3 or 5"`
	Manage      string   `yaml:"manage" split_words:"true" desc:"streams at start: create, verify or none; empty: create inside the agent, else verify"`
	AckWait     Duration `yaml:"ack_wait" split_words:"true" desc:"time without a sign of life after which a file goes to another worker"`
}

// TLS is the transport security of the connection to NATS.
type TLS struct {
	CA   string `yaml:"ca" split_words:"true" path:"true" desc:"file with the certificates to trust"`
	Cert string `yaml:"cert" split_words:"true" path:"true" desc:"file with the client certificate"`
	Key  string `yaml:"key" split_words:"true" path:"true" private:"true" desc:"file with the key of the client certificate"`
}

// Naming is how objects are called at the destination. The template itself is
// compiled and judged by package messages.
type Naming struct {
	Template    string `yaml:"template" split_words:"true" desc:"name at the destination, below s3.bucket_path"`
	DateFormat  string `yaml:"date_format" split_words:"true" desc:"form of {date}: %Y, %m and %d, each at least once"`
	Separator   string `yaml:"separator" split_words:"true" empty:"true" desc:"what stands for {separator}"`
	AllowNested bool   `yaml:"allow_nested" split_words:"true" desc:"allow more than one directory level in the template"`
}

// HTTP is the listener for probes and metrics, which take no orders and name no
// object, so that they may be served on any interface, in the clear; and, where it is
// asked for, for the status page and its API, which do both.
type HTTP struct {
	Listen        string `yaml:"listen" split_words:"true" desc:"host:port of /livez, /readyz and /metrics, such as 127.0.0.1:9464; port 0: any free one; empty: off"`
	Page          bool   `yaml:"page" split_words:"true" desc:"serve the status page and /api/v1 there, too, from run; on another address than loopback it takes token or basic_auth_file"`
	Token         Secret `yaml:"token" split_words:"true" desc:"token of at least 32 characters that page and API then ask for, as Bearer or as the password of any user name; empty: none; never as a literal in the file"`
	BasicAuthFile string `yaml:"basic_auth_file" split_words:"true" path:"true" private:"true" desc:"file with a line user:bcrypt for each user, as htpasswd -B writes it; page and API then ask for one"`
	ReadOnly      bool   `yaml:"read_only" split_words:"true" desc:"page and API show and refuse every action"`
}

// Proves reports whether page and API ask who comes.
func (h HTTP) Proves() bool { return h.Token.IsSet() || h.BasicAuthFile != "" }

// Integrity is what is read of the reports while they are copied.
type Integrity struct {
	Statistics       bool     `yaml:"statistics" split_words:"true" desc:"read each report while it is copied: gzip, columns, rows, sums of costs; false: not a byte of it"`
	StatisticsWait   Duration `yaml:"statistics_wait" split_words:"true" desc:"time that a finished copy waits for its statistics; 0: it does not, and what is not read by then is skipped"`
	RequireValidGzip bool     `yaml:"require_valid_gzip" split_words:"true" desc:"give up files that are not valid gzip instead of copying them as they are"`
	Metadata         bool     `yaml:"metadata" split_words:"true" desc:"send rows, sums and times along as metadata of the objects, of files up to advanced.chunk_size_bytes"`
	Changed          string   `yaml:"changed" split_words:"true" desc:"what becomes of a delivered file that has other bytes now: replace it, or hold it until failed retry or failed discard"`
}

// Verify is the comparison of the source, the ledger and the destination.
type Verify struct {
	Interval Duration `yaml:"interval" split_words:"true" desc:"time between two comparisons that scanners make by themselves; once a week it is of all days; 0: none"`
	Absent   string   `yaml:"absent" split_words:"true" desc:"what a delivered file is that is not at the destination any more: missing, or ingested where the destination takes files away"`
}

// Alerts is who is told how it goes. An address is a secret: whoever knows it can
// speak in the agent's name.
type Alerts struct {
	HeartbeatURL Secret   `yaml:"heartbeat_url" split_words:"true" desc:"address that is pinged after each complete scan, https://…; empty: none; never as a literal in the file"`
	WebhookURL   Secret   `yaml:"webhook_url" split_words:"true" desc:"address that is told when a failure begins and when it ends, https://…; empty: none; never as a literal in the file"`
	WebhookAfter Duration `yaml:"webhook_after" split_words:"true" desc:"time that a failure of the queue or of a side lasts before anybody is told, and likewise its end; and for how long files that were replaced are gathered into one message"`
	SlackURL     Secret   `yaml:"slack_url" split_words:"true" desc:"incoming webhook of Slack that is told the same, https://…; empty: none; never as a literal in the file"`
	TeamsURL     Secret   `yaml:"teams_url" split_words:"true" desc:"webhook of a workflow of Microsoft Teams that is told the same, https://…; empty: none; never as a literal in the file"`
	Email        Email    `yaml:"email" split_words:"true"`
	DigestAt     string   `yaml:"digest_at" split_words:"true" desc:"time of day, HH:MM in UTC, at which each channel is told how the last 24 hours went; empty: never"`
}

// Email is the way by which mail is sent.
type Email struct {
	Host     string    `yaml:"host" split_words:"true" desc:"mail server that is told the same by SMTP; empty: none"`
	Port     int       `yaml:"port" split_words:"true" desc:"its port; 0: 587 for starttls, 465 for implicit, 25 for none"`
	Username string    `yaml:"username" split_words:"true" desc:"user at the mail server; empty: it asks for none"`
	Password Secret    `yaml:"password" split_words:"true" desc:"password of the user; never as a literal in the file"`
	From     string    `yaml:"from" split_words:"true" desc:"address that mails come from"`
	To       Addresses `yaml:"to" split_words:"true" desc:"addresses that mails go to, with a comma between two; in the file also a list"`
	TLS      string    `yaml:"tls" split_words:"true" desc:"how the way is encrypted; starttls is never left out where the server lacks it, and none is for this host alone"`
	CA       string    `yaml:"ca" split_words:"true" path:"true" desc:"file with certificates to trust beside those of the system"`
}

// Advanced is what few installations change.
type Advanced struct {
	ValidateFileSize      bool     `yaml:"validate_file_size" split_words:"true" desc:"refuse files above max_file_size_gb; false: no limit"`
	MaxFileSizeGB         float64  `yaml:"max_file_size_gb" split_words:"true" desc:"largest file in GiB, at least 1"`
	ChunkSizeBytes        int64    `yaml:"chunk_size_bytes" split_words:"true" desc:"bytes of one part of an upload; below 5 MiB is raised to 5 MiB"`
	ValidateChecksum      bool     `yaml:"validate_checksum" split_words:"true" desc:"kept for old files; every copy is verified whatever it says"`
	DryRun                bool     `yaml:"dry_run" split_words:"true" desc:"plan and report, change nothing"`
	AllowInsecureEndpoint bool     `yaml:"allow_insecure_endpoint" split_words:"true" desc:"allow http:// endpoints on hosts other than this one"`
	StallTimeout          Duration `yaml:"stall_timeout" split_words:"true" desc:"time without a byte after which a transfer is broken off"`
}

// Default is the configuration before anything is read. It lacks only what
// cannot have a default: oci.bucket and s3.bucket_path.
func Default() *Config {
	return &Config{
		OCI:       OCI{Profile: "DEFAULT", Namespace: "bling", Prefix: "FOCUS Reports/", Auth: "api_key", Name: "main"},
		Agent:     Agent{PollInterval: 600 * second, LookbackDays: 35, MaxConcurrentTransfers: 3, DaemonMode: true},
		Retry:     defaultRetry(),
		Logging:   Logging{Level: "INFO", MaxSizeMB: 100, BackupCount: 5, Format: "text"},
		State:     State{File: "./state/state.json", RetentionDays: 30},
		NATS:      NATS{Prefix: "focus", InboxPrefix: "_INBOX", Service: true, Replicas: 1, AckWait: 300 * second},
		Naming:    Naming{Template: "{date}{separator}{basename}", DateFormat: "%Y-%m-%d", Separator: "_"},
		Integrity: Integrity{Statistics: true, StatisticsWait: 2 * second, Changed: "replace"},
		Verify:    Verify{Interval: 24 * 3600 * second, Absent: "missing"},
		Alerts:    Alerts{WebhookAfter: 60 * second, Email: Email{TLS: "starttls"}},
		Advanced: Advanced{ValidateFileSize: true, MaxFileSizeGB: 5, ChunkSizeBytes: 8 << 20,
			ValidateChecksum: true, StallTimeout: 30 * second},
	}
}

func defaultRetry() Retry {
	return Retry{MaxRetries: 3, InitialDelay: 5 * second, BackoffMultiplier: 2, MaxDelay: 300 * second,
		ProbeInterval: 30 * second, DeadAfter: 72 * 3600 * second}
}
