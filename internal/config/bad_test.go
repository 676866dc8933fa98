package config_test

import "strings"

// badFiles are files that must be refused, with the whole message. hunter2 is a
// secret in each of them, and in no message.
var badFiles = []struct {
	name, yaml string
	env        []string
	want       string
}{
	{
		name: "unknown key",
		yaml: "agent:\n  pol_interval: 600\n",
		want: "config.yaml:2:3: agent.pol_interval: is not a key of the configuration; fix: did you mean agent.poll_interval?",
	},
	{
		name: "unknown section",
		yaml: "agnet:\n  poll_interval: 600\n",
		want: "config.yaml:1:1: agnet: is not a key of the configuration; fix: did you mean agent?",
	},
	{
		name: "key in the wrong section",
		yaml: "oci:\n  poll_interval: 600\n",
		want: "config.yaml:2:3: oci.poll_interval: is not a key of the configuration; fix: did you mean agent.poll_interval?",
	},
	{
		name: "key without a section",
		yaml: "poll_interval: 600\n",
		want: "config.yaml:1:1: poll_interval: is not a key of the configuration; fix: did you mean agent.poll_interval?",
	},
	{
		name: "key like none",
		yaml: "agent:\n  zzzzzzzzzzzzzz: 1\n",
		want: "config.yaml:2:3: agent.zzzzzzzzzzzzzz: is not a key of the configuration; fix: remove it; see config.template.yaml for the sections and keys",
	},
	{
		name: "key of a later version",
		yaml: "s3:\n  storage_class: STANDARD\n",
		want: "config.yaml:2:3: s3.storage_class: is not a key of the configuration; fix: remove it; see config.template.yaml for the sections and keys",
	},
	{
		name: "duplicate key",
		yaml: "agent:\n  lookback_days: 5\n  lookback_days: 6\n",
		want: "config.yaml:3:3: agent.lookback_days: is set twice, first in line 2; fix: keep one of them",
	},
	{
		name: "duplicate section",
		yaml: "agent:\n  lookback_days: 5\nagent:\n  poll_interval: 60\n",
		want: "config.yaml:3:1: agent: is set twice, first in line 1; fix: keep one of them",
	},
	{
		name: "second document",
		yaml: "agent: {}\n---\nagent: {}\n",
		want: "config.yaml:2:1: a second document begins here; fix: keep one document in the file",
	},
	{
		name: "not YAML",
		yaml: "agent:\n  poll_interval: [600\n",
		want: "config.yaml:3:1: is not valid YAML: did not find expected ',' or ']'; fix: check indentation, colons and quotes here and in the line above",
	},
	{
		name: "tab",
		yaml: "agent:\n\tpoll_interval: 600\n",
		want: "config.yaml:2:1: is not valid YAML: found character that cannot start any token; fix: check indentation, colons and quotes here and in the line above",
	},
	{
		name: "list for the whole",
		yaml: "- agent\n",
		want: "config.yaml:1:1: the file is a list, not sections with keys; fix: see config.template.yaml for the sections and keys",
	},
	{
		name: "text for the whole",
		yaml: "hello\n",
		want: "config.yaml:1:1: the file is a single value, not sections with keys; fix: see config.template.yaml for the sections and keys",
	},
	{
		name: "null section",
		yaml: "agent:\n",
		want: "config.yaml:1:1: agent: is a section without keys; fix: remove the line or give it keys",
	},
	{
		name: "text for a section",
		yaml: "agent: often\n",
		want: "config.yaml:1:1: agent: is a single value, not a section; fix: put its keys below it, indented",
	},
	{
		name: "list for a section",
		yaml: "agent: [a]\n",
		want: "config.yaml:1:1: agent: is a list, not a section; fix: put its keys below it, indented",
	},
	{
		name: "list for a value",
		yaml: "agent:\n  poll_interval: [600]\n",
		want: "config.yaml:2:3: agent.poll_interval: is a list, want a duration; fix: write one value behind the key",
	},
	{
		name: "mapping for a value",
		yaml: "oci:\n  region: {a: b}\n",
		want: "config.yaml:2:3: oci.region: is a mapping, want a text; fix: write one value behind the key",
	},
	{
		name: "merge key",
		yaml: "a: &a {poll_interval: 60}\nagent:\n  <<: *a\n",
		want: "config.yaml:1:1: a: is not a key of the configuration; fix: remove it; see config.template.yaml for the sections and keys" + "\n" +
			"config.yaml:3:3: agent.<<: merge keys are not supported; fix: write the keys out",
	},
	{
		name: "key that is a list",
		yaml: "agent:\n  ? [a]\n  : b\n",
		want: "config.yaml:2:5: a key must be a plain word; fix: see config.template.yaml for the sections and keys",
	},
	{
		name: "tag",
		yaml: "oci:\n  region: !secret x\n",
		want: "config.yaml:2:3: oci.region: \"x\" has a YAML tag; fix: write the value without a tag",
	},
	{
		name: "binary",
		yaml: "oci:\n  region: !!binary aGk=\n",
		want: "config.yaml:2:3: oci.region: \"aGk=\" has a YAML tag; fix: write the value without a tag",
	},
	{
		name: "word for a duration",
		yaml: "agent:\n  poll_interval: often\n",
		want: "config.yaml:2:3: agent.poll_interval: \"often\" is not a duration; fix: write seconds (600) or a duration such as 10m or 1h30m",
	},
	{
		name: "octal duration",
		yaml: "agent:\n  poll_interval: 0600\n",
		want: "config.yaml:2:3: agent.poll_interval: \"0600\" has a leading zero, which some readers take for octal; fix: remove the zero",
	},
	{
		name: "negative duration",
		yaml: "agent:\n  poll_interval: -600\n",
		want: "config.yaml:2:3: agent.poll_interval: \"-600\" is negative; fix: write a positive value",
	},
	{
		name: "negative Go duration",
		yaml: "agent:\n  poll_interval: -10m\n",
		want: "config.yaml:2:3: agent.poll_interval: \"-10m\" is negative; fix: write a positive value",
	},
	{
		name: "infinite duration",
		yaml: "agent:\n  poll_interval: .inf\n",
		want: "config.yaml:2:3: agent.poll_interval: \".inf\" is not a duration; fix: write seconds (600) or a duration such as 10m or 1h30m",
	},
	{
		name: "duration beyond time",
		yaml: "agent:\n  poll_interval: 1e300\n",
		want: "config.yaml:2:3: agent.poll_interval: \"1e300\" is absurdly large; fix: write a smaller number",
	},
	{
		name: "poll_interval below a minute",
		yaml: "agent:\n  poll_interval: 59\n",
		want: "config.yaml:2:3: agent.poll_interval: \"59\" is too small; fix: use 60 to 604800 seconds",
	},
	{
		name: "poll_interval above a week",
		yaml: "agent:\n  poll_interval: 169h\n",
		want: "config.yaml:2:3: agent.poll_interval: \"169h\" is too large; fix: use 60 to 604800 seconds",
	},
	{
		name: "octal number",
		yaml: "agent:\n  lookback_days: 010\n",
		want: "config.yaml:2:3: agent.lookback_days: \"010\" has a leading zero, which some readers take for octal; fix: remove the zero",
	},
	{
		name: "hexadecimal number",
		yaml: "agent:\n  lookback_days: 0x10\n",
		want: "config.yaml:2:3: agent.lookback_days: \"0x10\" is not a whole number; fix: write it in plain digits",
	},
	{
		name: "fraction for a whole number",
		yaml: "agent:\n  lookback_days: 1.5\n",
		want: "config.yaml:2:3: agent.lookback_days: \"1.5\" is not a whole number; fix: write it in plain digits",
	},
	{
		name: "quoted number",
		yaml: "agent:\n  lookback_days: \"35\"\n",
		want: "config.yaml:2:3: agent.lookback_days: \"35\" is a quoted text, not a number; fix: remove the quotes",
	},
	{
		name: "number beyond 64 bits",
		yaml: "agent:\n  lookback_days: 99999999999999999999\n",
		want: "config.yaml:2:3: agent.lookback_days: \"99999999999999999999\" is absurdly large; fix: write a smaller number",
	},
	{
		name: "negative lookback",
		yaml: "agent:\n  lookback_days: -1\n",
		want: "config.yaml:2:3: agent.lookback_days: \"-1\" is too small; fix: use 0 to 3660 days",
	},
	{
		name: "no transfers",
		yaml: "agent:\n  max_concurrent_transfers: 0\n",
		want: "config.yaml:2:3: agent.max_concurrent_transfers: \"0\" is too small; fix: use 1 to 256 files",
	},
	{
		name: "absurd transfers",
		yaml: "agent:\n  max_concurrent_transfers: 100000\n",
		want: "config.yaml:2:3: agent.max_concurrent_transfers: \"100000\" is too large; fix: use 1 to 256 files",
	},
	{
		name: "word for a boolean",
		yaml: "agent:\n  daemon_mode: maybe\n",
		want: "config.yaml:2:3: agent.daemon_mode: \"maybe\" is neither true nor false; fix: write true or false",
	},
	{
		name: "number for a boolean",
		yaml: "agent:\n  daemon_mode: 1\n",
		want: "config.yaml:2:3: agent.daemon_mode: \"1\" is neither true nor false; fix: write true or false",
	},
	{
		name: "quoted boolean",
		yaml: "agent:\n  daemon_mode: \"false\"\n",
		want: "config.yaml:2:3: agent.daemon_mode: \"false\" is a quoted text, not true or false; fix: remove the quotes",
	},
	{
		name: "boolean for a text",
		yaml: "oci:\n  profile: true\n",
		want: "config.yaml:2:3: oci.profile: \"true\" is true or false, want a text; fix: write a text, in quotes if it is meant",
	},
	{
		name: "since is no date",
		yaml: "agent:\n  since: 2025-02-30\n",
		want: "config.yaml:2:3: agent.since: \"2025-02-30\" is not a date; fix: write it as YYYY-MM-DD",
	},
	{
		name: "since in the future",
		yaml: "agent:\n  since: 2026-03-02\n",
		want: "config.yaml:2:3: agent.since: \"2026-03-02\" is in the future; fix: use a day up to 2026-03-01 (UTC)",
	},
	{
		name: "since before the cloud",
		yaml: "agent:\n  since: 1999-01-01\n",
		want: "config.yaml:2:3: agent.since: \"1999-01-01\" is before Oracle had a cloud to bill; fix: use the first day whose costs you want",
	},
	{
		name: "not a number",
		yaml: "retry:\n  backoff_multiplier: .nan\n",
		want: "config.yaml:2:3: retry.backoff_multiplier: \".nan\" is not a number; fix: write it in plain digits",
	},
	{
		name: "multiplier below one",
		yaml: "retry:\n  backoff_multiplier: 0.5\n",
		want: "config.yaml:2:3: retry.backoff_multiplier: \"0.5\" is too small; fix: use 1 to 100",
	},
	{
		name: "max_delay below initial_delay",
		yaml: "retry:\n  initial_delay: 60\n  max_delay: 30\n",
		want: "config.yaml:3:3: retry.max_delay: \"30\" is below retry.initial_delay; fix: raise it to at least 1m",
	},
	{
		name: "bucket is no tenancy",
		yaml: "oci:\n  bucket: focus-reports\ns3:\n  bucket_path: s3://bucket/a\n",
		want: "config.yaml:2:3: oci.bucket: \"focus-reports\" is not a tenancy OCID; fix: use the OCID of your tenancy, ocid1.tenancy.oc1..…",
	},
	{
		name: "placeholders of the template",
		yaml: "oci:\n  bucket: \"<YOUR_TENANCY_OCID>\"\ns3:\n  bucket_path: \"s3://<BUCKET_NAME>/<ORG_ID>\"\n",
		want: "config.yaml:2:3: oci.bucket: \"<YOUR_TENANCY_OCID>\" still holds a <PLACEHOLDER> of the template; fix: use the OCID of your tenancy, ocid1.tenancy.oc1..…" + "\n" +
			"config.yaml:4:3: s3.bucket_path: \"s3://<BUCKET_NAME>/<ORG_ID>\" still holds a <PLACEHOLDER> of the template; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "required keys are missing",
		yaml: "# a bucket and a bucket_path\n",
		want: "config.yaml: oci.bucket: is required; fix: set it in the file or set FOCUS_OCI_BUCKET" + "\n" +
			"config.yaml: s3.bucket_path: is required; fix: set it in the file or set FOCUS_S3_BUCKET_PATH",
	},
	{
		name: "bucket_path without scheme",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: bucket/a\n",
		want: "config.yaml:4:3: s3.bucket_path: \"bucket/a\" does not start with s3://; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "bucket_path without bucket",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: s3:///a\n",
		want: "config.yaml:4:3: s3.bucket_path: \"s3:///a\" has no bucket; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "bucket_path with a bad bucket",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: s3://My_Bucket/a\n",
		want: "config.yaml:4:3: s3.bucket_path: \"s3://My_Bucket/a\" has no valid bucket name; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "bucket_path with ..",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: s3://bucket/a/../b\n",
		want: "config.yaml:4:3: s3.bucket_path: \"s3://bucket/a/../b\" holds .. as a segment; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "bucket_path with an empty segment",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: s3://bucket/a//b\n",
		want: "config.yaml:4:3: s3.bucket_path: \"s3://bucket/a//b\" has an empty segment; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "bucket_path with a space",
		yaml: "oci:\n  bucket: ocid1.tenancy.oc1..aa\ns3:\n  bucket_path: s3://bucket/a b\n",
		want: "config.yaml:4:3: s3.bucket_path: \"s3://bucket/a b\" holds a space, which Umbrella's importer refuses; fix: write it as Umbrella gave it, s3://bucket/organization/customer/account",
	},
	{
		name: "prefix with a leading slash",
		yaml: "oci:\n  prefix: /FOCUS Reports\n",
		want: "config.yaml:2:3: oci.prefix: \"/FOCUS Reports\" has an empty segment; fix: write it as in \"FOCUS Reports/\", without a leading /",
	},
	{
		name: "namespace with a space",
		yaml: "oci:\n  namespace: \"a b\"\n",
		want: "config.yaml:2:3: oci.namespace: \"a b\" is not a namespace; fix: use bling, where Oracle keeps the reports of everyone",
	},
	{
		name: "unknown auth",
		yaml: "oci:\n  auth: instance_principal\n",
		want: "config.yaml:2:3: oci.auth: \"instance_principal\" is not known; fix: use api_key",
	},
	{
		name: "route name",
		yaml: "oci:\n  name: a.b\n",
		want: "config.yaml:2:3: oci.name: \"a.b\" is not a route name; fix: use 1 to 32 letters, digits, _ and -",
	},
	{
		name: "region",
		yaml: "s3:\n  region: us east\n",
		want: "config.yaml:2:3: s3.region: \"us east\" is not a region; fix: use letters, digits and dashes, such as us-east-1",
	},
	{
		name: "http endpoint",
		yaml: "s3:\n  endpoint: http://s3.example.com\n",
		want: "config.yaml:2:3: s3.endpoint: \"http://s3.example.com\" would send reports over the network in the clear; fix: use https://, or set advanced.allow_insecure_endpoint to true in a network you trust",
	},
	{
		name: "endpoint with a path",
		yaml: "s3:\n  endpoint: https://s3.example.com/x/\n",
		want: "config.yaml:2:3: s3.endpoint: \"https://s3.example.com/x/\" has more than a scheme, a host and a port; fix: write it as https://host or https://host:port",
	},
	{
		name: "endpoint with a password",
		yaml: "oci:\n  endpoint: https://user:hunter2@example.com\n",
		want: "config.yaml:2:3: oci.endpoint: \"********\" has more than a scheme, a host and a port; fix: write it as https://host or https://host:port",
	},
	{
		name: "endpoint with a signature",
		yaml: "oci:\n  endpoint: https://example.com?X-Amz-Signature=hunter2\n",
		want: "config.yaml:2:3: oci.endpoint: \"********\" has more than a scheme, a host and a port; fix: write it as https://host or https://host:port",
	},
	{
		name: "endpoint of another scheme",
		yaml: "oci:\n  endpoint: ftp://example.com\n",
		want: "config.yaml:2:3: oci.endpoint: \"ftp://example.com\" is not an endpoint; fix: write it as https://host or https://host:port",
	},
	{
		name: "endpoint with port 0",
		yaml: "oci:\n  endpoint: https://example.com:0\n",
		want: "config.yaml:2:3: oci.endpoint: \"https://example.com:0\" is not an endpoint; fix: write it as https://host or https://host:port",
	},
	{
		name: "literal access key",
		yaml: "s3:\n  access_key_id: hunter2\n  secret_access_key: \"${X}\"\n",
		env:  []string{"X=y"},
		want: "config.yaml:2:3: s3.access_key_id: is a secret as a literal in the file; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_ACCESS_KEY_ID (in the file: ${FOCUS_S3_ACCESS_KEY_ID}), or name a file that holds it in FOCUS_S3_ACCESS_KEY_ID_FILE",
	},
	{
		name: "literal secret",
		yaml: "s3:\n  secret_access_key: hunter2\n",
		want: "config.yaml:2:3: s3.secret_access_key: is a secret as a literal in the file; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_SECRET_ACCESS_KEY (in the file: ${FOCUS_S3_SECRET_ACCESS_KEY}), or name a file that holds it in FOCUS_S3_SECRET_ACCESS_KEY_FILE",
	},
	{
		name: "literal default of a secret",
		yaml: "s3:\n  secret_access_key: ${X:-hunter2}\n",
		want: "config.yaml:2:3: s3.secret_access_key: is a secret as a literal in the file; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_SECRET_ACCESS_KEY (in the file: ${FOCUS_S3_SECRET_ACCESS_KEY}), or name a file that holds it in FOCUS_S3_SECRET_ACCESS_KEY_FILE",
	},
	{
		name: "literal beside a variable",
		yaml: "s3:\n  secret_access_key: hunter2${X}\n",
		env:  []string{"X=y"},
		want: "config.yaml:2:3: s3.secret_access_key: is a secret as a literal in the file; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_SECRET_ACCESS_KEY (in the file: ${FOCUS_S3_SECRET_ACCESS_KEY}), or name a file that holds it in FOCUS_S3_SECRET_ACCESS_KEY_FILE",
	},
	{
		name: "list for a secret",
		yaml: "s3:\n  secret_access_key: [hunter2]\n",
		want: "config.yaml:2:3: s3.secret_access_key: is a list, want a secret; fix: write one value behind the key",
	},
	{
		name: "number for a secret",
		yaml: "s3:\n  secret_access_key: 12345678\n",
		want: "config.yaml:2:3: s3.secret_access_key: is a secret as a literal in the file; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_SECRET_ACCESS_KEY (in the file: ${FOCUS_S3_SECRET_ACCESS_KEY}), or name a file that holds it in FOCUS_S3_SECRET_ACCESS_KEY_FILE",
	},
	{
		name: "secret without its access key",
		yaml: "s3:\n  secret_access_key: ${X}\n",
		env:  []string{"X=hunter2"},
		want: "config.yaml: s3.access_key_id: is missing, while s3.secret_access_key is set; fix: set FOCUS_S3_ACCESS_KEY_ID or FOCUS_S3_ACCESS_KEY_ID_FILE, or unset the other",
	},
	{
		name: "access key without its secret",
		yaml: "s3:\n  access_key_id: ${X}\n",
		env:  []string{"X=hunter2"},
		want: "config.yaml: s3.secret_access_key: is missing, while s3.access_key_id is set; fix: set FOCUS_S3_SECRET_ACCESS_KEY or FOCUS_S3_SECRET_ACCESS_KEY_FILE, or unset the other",
	},
	{
		name: "required variable",
		yaml: "oci:\n  region: ${REGION:?say where}\n",
		want: "config.yaml:2:3: oci.region: \"${REGION:?say where}\" needs the variable REGION: say where; fix: set REGION",
	},
	{
		name: "reference that is none",
		yaml: "oci:\n  region: ${1REGION}\n",
		want: "config.yaml:2:3: oci.region: \"${1REGION}\" holds a ${…} that is not a reference to a variable; fix: write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $${ for a literal ${",
	},
	{
		name: "reference without end",
		yaml: "oci:\n  region: ${REGION\n",
		want: "config.yaml:2:3: oci.region: \"${REGION\" holds ${ without }; fix: close it, or write $${ for a literal ${",
	},
	{
		name: "variable with a line break",
		yaml: "oci:\n  region: ${REGION}\n",
		env:  []string{"REGION=a\nb"},
		want: "config.yaml:2:3: oci.region: \"${REGION}\" holds a control character or bytes that are not UTF-8; fix: remove it; a line break at the end is the usual cause",
	},
	{
		name: "variable of the wrong type",
		yaml: "agent:\n  poll_interval: ${EVERY}\n",
		env:  []string{"EVERY=hunter2"},
		want: "config.yaml:2:3: agent.poll_interval: \"${EVERY}\" is not a duration; fix: write seconds (600) or a duration such as 10m or 1h30m",
	},
	{
		name: "control character",
		yaml: "oci:\n  region: \"a\\u0007\"\n",
		want: "config.yaml:2:3: oci.region: \"a\\a\" holds a control character or bytes that are not UTF-8; fix: remove it; a line break at the end is the usual cause",
	},
	{
		name: "value that is too long",
		yaml: "oci:\n  region: " + strings.Repeat("a", 5000) + "\n",
		want: "config.yaml:2:3: oci.region: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" is longer than 4096 bytes; fix: shorten it",
	},
	{
		name: "level",
		yaml: "logging:\n  level: LOUD\n",
		want: "config.yaml:2:3: logging.level: \"LOUD\" is not a level; fix: use DEBUG, INFO, WARNING, ERROR or CRITICAL",
	},
	{
		name: "format",
		yaml: "logging:\n  format: xml\n",
		want: "config.yaml:2:3: logging.format: \"xml\" is not known; fix: use text or json or classic",
	},
	{
		name: "date format without a day",
		yaml: "naming:\n  date_format: \"%Y-%m\"\n",
		want: "config.yaml:2:3: naming.date_format: \"%Y-%m\" lacks a part of the date, so that two days would share names; fix: use each of %Y, %m and %d",
	},
	{
		name: "date format with an hour",
		yaml: "naming:\n  date_format: \"%Y-%m-%d %H\"\n",
		want: "config.yaml:2:3: naming.date_format: \"%Y-%m-%d %H\" holds an unsupported token; fix: use %Y, %m and %d only (%% for a percent sign)",
	},
	{
		name: "file size below 1",
		yaml: "advanced:\n  max_file_size_gb: 0.5\n",
		want: "config.yaml:2:3: advanced.max_file_size_gb: \"0.5\" is too small; fix: use 1 to 5120 GiB",
	},
	{
		name: "negative file size",
		yaml: "advanced:\n  max_file_size_gb: -5\n",
		want: "config.yaml:2:3: advanced.max_file_size_gb: \"-5\" is too small; fix: use 1 to 5120 GiB",
	},
	{
		name: "chunk of nothing",
		yaml: "advanced:\n  chunk_size_bytes: 0\n",
		want: "config.yaml:2:3: advanced.chunk_size_bytes: \"0\" is too small; fix: use 5242880 to 536870912 bytes",
	},
	{
		name: "chunk that is absurd",
		yaml: "advanced:\n  chunk_size_bytes: 10000000000\n",
		want: "config.yaml:2:3: advanced.chunk_size_bytes: \"10000000000\" is too large; fix: use 5242880 to 536870912 bytes",
	},
	{
		name: "chunk too small for the file",
		yaml: "advanced:\n  max_file_size_gb: 500\n",
		want: "config.yaml: advanced.chunk_size_bytes: \"8388608\" is too small for max_file_size_gb: an upload has at most 10000 parts; fix: use at least 53687092",
	},
	{
		name: "NATS scheme",
		yaml: "nats:\n  url: http://host:4222\n",
		want: "config.yaml:2:3: nats.url: \"http://host:4222\" has another scheme than NATS; fix: use nats, tls, ws or wss",
	},
	{
		name: "NATS password",
		yaml: "nats:\n  url: nats://user:hunter2@host:4222\n",
		want: "config.yaml:2:3: nats.url: \"********\" holds a user or a password; fix: remove it and use nats.creds or nats.nkey_file",
	},
	{
		name: "NATS mixes transports",
		yaml: "nats:\n  url: nats://a:4222,ws://b:80\n",
		want: "config.yaml:2:3: nats.url: \"nats://a:4222,ws://b:80\" mixes WebSocket and other servers; fix: use ws and wss for all or for none",
	},
	{
		name: "NATS empty server",
		yaml: "nats:\n  url: nats://a:4222,,nats://b:4222\n",
		want: "config.yaml:2:3: nats.url: \"nats://a:4222,,nats://b:4222\" is not a list of servers; fix: write it as nats://host:4222,nats://other:4222",
	},
	{
		name: "NATS prefix in capitals",
		yaml: "nats:\n  prefix: Focus\n",
		want: "config.yaml:2:3: nats.prefix: \"Focus\" is not a prefix; fix: use 1 to 32 lower-case letters, digits, _ and -",
	},
	{
		name: "NATS replicas without servers",
		yaml: "nats:\n  replicas: 3\n",
		want: "config.yaml:2:3: nats.replicas: \"3\" needs more servers than the one inside the agent; fix: use 1 or set nats.url",
	},
	{
		name: "NATS even replicas",
		yaml: "nats:\n  url: nats://a\n  replicas: 2\n",
		want: "config.yaml:3:3: nats.replicas: \"2\" is no better than one fewer; fix: use 1, 3 or 5",
	},
	{
		name: "NATS manage",
		yaml: "nats:\n  manage: maybe\n",
		want: "config.yaml:2:3: nats.manage: \"maybe\" is not known; fix: use create or verify or none",
	},
	{
		name: "NATS two credentials",
		yaml: "nats:\n  url: nats://a\n  creds: a\n  nkey_file: b\n",
		want: "config.yaml:4:3: nats.nkey_file: \"b\" is set beside nats.creds; fix: keep one of them",
	},
	{
		name: "NATS certificate without key",
		yaml: "nats:\n  tls:\n    cert: a.pem\n",
		want: "config.yaml:3:5: nats.tls.cert: \"a.pem\" is set without nats.tls.key; fix: set both or neither",
	},
	{
		name: "NATS ack_wait",
		yaml: "nats:\n  ack_wait: 0.5\n",
		want: "config.yaml:2:3: nats.ack_wait: \"0.5\" is too small; fix: use 1 to 86400 seconds",
	},
	{
		name: "many at once",
		yaml: "agent:\n  poll_interval: 1\n  pol: 2\nlogging:\n  level: LOUD\nretry: 5\n",
		env:  []string{"FOCUS_AGENT_LOOKBACK_DAYS=x"},
		want: "config.yaml:2:3: agent.poll_interval: \"1\" is too small; fix: use 60 to 604800 seconds" + "\n" +
			"config.yaml:3:3: agent.pol: is not a key of the configuration; fix: did you mean agent.poll_interval?" + "\n" +
			"config.yaml:5:3: logging.level: \"LOUD\" is not a level; fix: use DEBUG, INFO, WARNING, ERROR or CRITICAL" + "\n" +
			"config.yaml:6:1: retry: is a single value, not a section; fix: put its keys below it, indented" + "\n" +
			"FOCUS_AGENT_LOOKBACK_DAYS: agent.lookback_days: \"x\" is not a whole number; fix: write it in plain digits",
	},
}
