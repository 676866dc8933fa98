package config_test

import (
	"fmt"
	"strings"
	"testing"
)

var spec = []string{
	"STRING_VALUE=value", "BOOL_VALUE=true", "INT_VALUE=1", "FLOAT_VALUE=1.1", "HEX_VALUE=0xdeadbeef",
	`INVALID_MAP_VALUE=value\nkey:value`, "DO_NOT_REPLACE_ME=Never use this value", "REPLACE_ME=${DO_NOT_REPLACE_ME}",
	"VALUE_WITH_ESCAPE=value$$",
}

// TestExpansion holds the examples of OpenTelemetry's configuration data
// model, except two: :? is a reference here, and hexadecimal numbers are
// refused like everywhere in the file.
func TestExpansion(t *testing.T) {
	t.Parallel()
	const unset = "DEFAULT"
	for _, tt := range []struct{ in, want string }{
		{`${STRING_VALUE}`, "value"},
		{`${BOOL_VALUE}`, "true"},
		{`"${STRING_VALUE}"`, "value"},
		{`"${HEX_VALUE}"`, "0xdeadbeef"},
		{`${HEX_VALUE}`, "0xdeadbeef"},
		{`${env:STRING_VALUE}`, "value"},
		{`${INVALID_MAP_VALUE}`, `value\nkey:value`},
		{`foo ${STRING_VALUE} ${FLOAT_VALUE}`, "foo value 1.1"},
		{`${UNDEFINED_KEY}`, unset},
		{`"${UNDEFINED_KEY}"`, unset},
		{`${UNDEFINED_KEY:-fallback}`, "fallback"},
		{`${UNDEFINED_KEY:-}`, unset},
		{`${STRING_VALUE:-fallback}`, "value"},
		{`${REPLACE_ME}`, "${DO_NOT_REPLACE_ME}"},
		{`${UNDEFINED_KEY:-${STRING_VALUE}}`, "${STRING_VALUE}"},
		{`$${STRING_VALUE}`, "${STRING_VALUE}"},
		{`$$${STRING_VALUE}`, "$value"},
		{`$$$${STRING_VALUE}`, "$${STRING_VALUE}"},
		{`$${STRING_VALUE:-fallback}`, "${STRING_VALUE:-fallback}"},
		{`$${STRING_VALUE:-${STRING_VALUE}}`, "${STRING_VALUE:-value}"},
		{`${UNDEFINED_KEY:-$${UNDEFINED_KEY}}`, "${UNDEFINED_KEY:-${UNDEFINED_KEY}}"},
		{`${VALUE_WITH_ESCAPE}`, "value$$"},
		{`a $$ b`, "a $ b"},
		{`a $ b`, "a $ b"},
		{`$STRING_VALUE`, "$STRING_VALUE"},
		{`p@ss$word`, "p@ss$word"},
		{`a$`, "a$"},
		{`${STRING_VALUE:?must be set}`, "value"},
		{`${STRING_VALUE}${STRING_VALUE}`, "valuevalue"},
		{`${STRING_VALUE} # comment`, "value"},
		{`'${UNDEFINED_KEY:-a b: c #d}'`, "a b: c #d"},
	} {
		c := mustLoad(t, "oci:\n  profile: "+tt.in+"\n", spec...)
		if got := c.OCI.Profile; got != tt.want {
			t.Errorf("%s = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestExpansionHasTheTypeOfTheKey(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
agent: {daemon_mode: "${OFF}", lookback_days: '${DAYS}', poll_interval: "${EVERY:-90}"}
retry: {backoff_multiplier: "${FLOAT_VALUE}"}
`, append(spec, "OFF=false", "DAYS=12")...)
	got := fmt.Sprint(c.Agent.DaemonMode, c.Agent.LookbackDays, c.Agent.PollInterval, c.Retry.BackoffMultiplier)
	if want := "false 12 1m30s 1.1"; got != want {
		t.Errorf("values = %s, want %s", got, want)
	}
}

func TestExpansionLeavesKeysAlone(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "oci:\n  ${STRING_VALUE}: x\n", spec...)
	if err == nil || !strings.HasPrefix(err.Error(), "config.yaml:2:3: oci.${STRING_VALUE}: is not a key") {
		t.Errorf("Load = %v", err)
	}
}

func TestExpansionOfAnUnsetVariableWarns(t *testing.T) {
	t.Parallel()
	_, warnings, err := load(t, "oci:\n  region: ${UNDEFINED_KEY}\n")
	if err != nil {
		t.Fatal(err)
	}
	wantWarnings(t, warnings, "config.yaml:2:3: oci.region: the variable UNDEFINED_KEY is not set and counts as empty; "+
		"fix: set it, or write ${UNDEFINED_KEY:-default} or ${UNDEFINED_KEY:?message}")
}
