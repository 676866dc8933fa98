package trace

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// wanted reports whether the environment asks for traces. Its error is what would keep
// them from arriving, and names the variable; it never has its value where that can hold
// a secret.
func wanted(getenv func(string) string) (bool, error) {
	get := func(name string) string { return strings.TrimSpace(getenv(name)) }
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := get("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
			return false, nil
		}
	default:
		return true, fmt.Errorf("OTEL_TRACES_EXPORTER is %q, which this program does not have; set it to otlp or none", exporter)
	}
	protocol := cmp.Or(get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), get("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	if protocol != "http/protobuf" && protocol != "http/json" {
		return true, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q, which this program does not speak; set it to http/protobuf, and OTEL_EXPORTER_OTLP_ENDPOINT to the collector's port for that, usually 4318", protocol)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if err := checkEndpoint(get(name)); err != nil {
			return true, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if err := checkHeaders(get(name)); err != nil {
			return true, fmt.Errorf("%s: %w", name, err)
		}
	}
	return true, nil
}

func checkEndpoint(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("it is not of the form http://host:4318; correct it")
	}
	return nil
}

// checkHeaders is stricter than the SDK, which leaves out what it cannot read and writes
// it to the log.
func checkHeaders(s string) error {
	for pair := range strings.SplitSeq(s, ",") {
		if s == "" {
			return nil
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if _, err := url.PathUnescape(value); err != nil || !ok || name == "" || strings.ContainsFunc(name, notToken) {
			return errors.New("it is not of the form name=value,name=value with values that are percent-encoded; correct it")
		}
	}
	return nil
}

// notToken reports what cannot stand in the name of a header.
func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}
