package config_test

import (
	"testing"

	"oracle-focus-agent/internal/config"
)

// Every name that another tool has for a way to authenticate is one here, and in
// the schema.
func TestOtherToolsNamesForAuthAreKnown(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for name, want := range map[string]string{
		"ApiKey": "api_key", "user_principal": "api_key", "user_principal_auth": "api_key",
		"security_token": "session_token", "SecurityToken": "session_token",
		"instance_principals": "instance_principal", "InstancePrincipal": "instance_principal", "instance_principal_auth": "instance_principal",
		"resource_principals": "resource_principal", "ResourcePrincipal": "resource_principal", "resource_principal_auth": "resource_principal",
		"oke_workload_identity": "workload_identity", "OKEWorkloadIdentity": "workload_identity", "workload_identity_auth": "workload_identity",
	} {
		yaml := "oci: {auth: " + name + "}"
		if c := mustLoad(t, yaml); c.OCI.Auth != want {
			t.Errorf("%s is %s, want %s", name, c.OCI.Auth, want)
		}
		if err := schema.Validate(asEditorsRead(t, yaml)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatHasNoEffectIsNamed(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"s3: {storage_class: DEEP_ARCHIVE}":           "config.yaml:1:6: s3.storage_class: DEEP_ARCHIVE cannot be read before somebody restores it, so Umbrella could not read the reports; fix: use GLACIER_IR, STANDARD_IA or none",
		"s3: {storage_class: GLACIER_IR}":             "",
		"oci: {auth: instance_principal, profile: P}": "config.yaml:1:33: oci.profile: is ignored with oci.auth instance_principal; fix: remove it",
		"oci: {auth: session_token, profile: P}":      "",
		"s3: {tags: {team: '${TEAM}'}}":               "config.yaml:1:6: s3.tags: the variable TEAM is not set and counts as empty; fix: set it, or write ${TEAM:-default} or ${TEAM:?message}",
	} {
		_, warnings, err := load(t, yaml)
		if err != nil {
			t.Errorf("%s: %v", yaml, err)
		}
		wantWarnings(t, warnings, want)
	}
}

func TestTagsAreAQuery(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "s3: {tags: {team: '${TEAM}', \"cost/center\": a+b=c, empty: \"\"}}", "TEAM=fin ops é")
	if got, want := c.S3.Tags.Query(), "team=fin%20ops%20%C3%A9&cost%2Fcenter=a%2Bb%3Dc&empty="; got != want {
		t.Errorf("Query = %s, want %s", got, want)
	}
	if got := config.Tags("").Query(); got != "" {
		t.Errorf("Query of none = %q", got)
	}
}
