package cli_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// These tests set variables of the process, which the SDK reads: none is parallel.

// onInstance puts the installation onto a simulated instance.
func onInstance(t *testing.T, w *world) *simulator.Principals {
	t.Helper()
	services, err := simulator.NewPrincipals(w.OCI)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(services)
	t.Cleanup(server.Close)
	t.Setenv("OCI_METADATA_BASE_URL", server.URL+"/opc/v2")
	t.Setenv("OCI_SDK_AUTH_CLIENT_REGION_URL", server.URL)
	w.set("FOCUS_OCI_AUTH", "instance_principal")
	w.unset("FOCUS_OCI_CONFIG_FILE")
	return services
}

func TestAnInstanceNeedsNoKey(t *testing.T) {
	w := newWorld(t, simulator.Options{Days: 1})
	services := onInstance(t, w)
	r := w.run(t, "test").want(t, 0)
	for _, want := range []string{
		"      identity       instance_principal: this OCI instance, region us-ashburn-1",
		"      dynamic group  ANY {instance.compartment.id = '<compartment OCID>'}",
		"      policy         define tenancy usage-report as ocid1.tenancy.oc1..aaaaaaaaned4fkpkisbwjlr56u7cj63lf3wffbilvqknstgtvzub7vhqkggq",
		"      policy         endorse dynamic-group <dynamic group> to read objects in tenancy usage-report",
		"ok    oci",
	} {
		if !strings.Contains(r.stdout, want+"\n") && !strings.Contains(r.stdout, want+" ") {
			t.Errorf("test does not print %q:\n%s", want, r.stdout)
		}
	}
	w.run(t, "sync").want(t, 0)
	w.check(t)

	services.Refuse(true)
	if r := w.run(t, "sync").want(t, 3); !strings.Contains(r.stderr, "simulated refusal") {
		t.Errorf("sync without a token prints %q", r.stderr)
	}
}

func TestOutsideOCIAnInstancePrincipalIsToldSoon(t *testing.T) {
	w := newWorld(t, simulator.Options{Days: 1})
	onInstance(t, w)
	nobody := httptest.NewServer(nil)
	nobody.Close()
	t.Setenv("OCI_METADATA_BASE_URL", nobody.URL)
	start := time.Now()
	if r := w.run(t, "test").want(t, 3); !strings.Contains(r.stdout, "FAIL  oci") ||
		!strings.Contains(r.stdout, "no instance metadata service answers") || !strings.Contains(r.stdout, "this host is not an OCI instance, use api_key") {
		t.Errorf("test prints %q", r.stdout)
	}
	w.run(t, "sync").want(t, 3)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	// What a platform lacks is a matter of the configuration.
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "")
	w.set("FOCUS_OCI_AUTH", "resource_principal")
	w.run(t, "sync").want(t, 2)
	w.set("FOCUS_OCI_AUTH", "workload_identity")
	w.run(t, "sync").want(t, 2)
}

// What the configuration says of objects is what S3 gets.
func TestObjectsAreWrittenAsConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 1, Policy: simulator.Policy(simulator.PutOnly).And("PutObjectTagging", "kms:GenerateDataKey")},
		"FOCUS_S3_STORAGE_CLASS=STANDARD_IA", "FOCUS_S3_SSE=aws:kms", "FOCUS_S3_KMS_KEY_ID=alias/focus", "FOCUS_S3_TAGS=team=fin ops,env=a",
		"FOCUS_S3_EXPECTED_BUCKET_OWNER=111122223333", "FOCUS_S3_UNSIGNED_PAYLOAD=true")
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(403, "AccessDenied"), Match: func(r *http.Request) bool {
		return r.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD"
	}})
	w.run(t, "sync").want(t, 0)
	w.check(t)
	for header, want := range map[string]string{
		"x-amz-storage-class": "STANDARD_IA", "x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "alias/focus",
		"x-amz-tagging": "team=fin%20ops&env=a", "x-amz-expected-bucket-owner": "111122223333", "x-amz-acl": "",
	} {
		if got := w.S3.History()[0].Headers[header]; got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	w.set("FOCUS_S3_ACL", "bucket-owner-full-control")
	if r := w.run(t, "test").want(t, 3); !strings.Contains(r.stdout, "the key lacks s3:PutObjectAcl, which s3.acl needs") {
		t.Errorf("test without the right to set an ACL prints %q", r.stdout)
	}
}
