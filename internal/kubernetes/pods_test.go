package kubernetes

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"oracle-focus-agent/internal/nats"
)

func TestWhatAnInstallationHas(t *testing.T) {
	want := []string{
		"ConfigMap focus", "ConfigMap focus-setup", "Deployment focus-copier", "Deployment focus-scanner", "Job focus-setup",
		"NetworkPolicy focus", "NetworkPolicy focus-setup", "PodDisruptionBudget focus-copier", "ServiceAccount focus",
	}
	if got := kinds(usual(t)); !slices.Equal(got, want) {
		t.Errorf("the usual installation has %q, want %q", got, want)
	}
	all := usual(t, "serviceMonitor.enabled=true", "prometheusRule.enabled=true", "keda.enabled=true", "keda.monitoringEndpoint=nats:8222", "scanner.persistence.enabled=true")
	want = append(want, "PersistentVolumeClaim focus-scanner", "PrometheusRule focus", "ScaledObject focus-copier", "Service focus-copier", "Service focus-scanner", "ServiceMonitor focus")
	slices.Sort(want)
	if got := kinds(all); !slices.Equal(got, want) {
		t.Errorf("with all that can be added it has %q, want %q", got, want)
	}
}

// TestPodsMayDoLittle: what Kubernetes calls restricted, and no name of a Service becomes a
// variable that looks like one of the program.
func TestPodsMayDoLittle(t *testing.T) {
	everywhere(t, func(t *testing.T, o object) {
		pod, container := o.pod(), o.container()
		want := map[string]any{
			"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
			"fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": map[string]any{"type": "RuntimeDefault"},
		}
		if got := pod.at("securityContext"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: securityContext %v, want %v", o.component(), got, want)
		}
		want = map[string]any{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}}}
		if got := container.at("securityContext"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: securityContext of the container %v, want %v", o.component(), got, want)
		}
		if pod.at("enableServiceLinks") != false {
			t.Errorf("%s: the names of Services become variables", o.component())
		}
		for _, host := range []string{"hostNetwork", "hostPID", "hostIPC", "initContainers"} {
			if pod.at(host) != nil {
				t.Errorf("%s has %s", o.component(), host)
			}
		}
		if container.at("resources", "limits", "memory") == nil || container.at("resources", "requests", "cpu") == nil {
			t.Errorf("%s: resources %v", o.component(), container.at("resources"))
		}
		token := strings.Contains(t.Name(), "oke.yaml") && o.component() != "setup"
		if pod.at("automountServiceAccountToken") != token {
			t.Errorf("%s: automountServiceAccountToken %v, want %v: only workload_identity shows it to anybody", o.component(), pod.at("automountServiceAccountToken"), token)
		}
	})
}

// TestNothingIsKilledWhileItDrains: after SIGTERM copies in flight have the grace of the
// program, and a few seconds more to hand back the rest.
func TestNothingIsKilledWhileItDrains(t *testing.T) {
	m := regexp.MustCompile(`const grace = (\d+) \* time\.Second`).FindStringSubmatch(read(t, "internal/cli/wire.go"))
	if m == nil {
		t.Fatal("internal/cli/wire.go tells no grace")
	}
	grace, _ := strconv.Atoi(m[1])
	everywhere(t, func(t *testing.T, o object) {
		if got, _ := o.pod().at("terminationGracePeriodSeconds").(int); got < grace+10 {
			t.Errorf("%s is killed %d s after SIGTERM; it drains for %d s and needs some to end", o.component(), got, grace)
		}
	})
	_, err := helm(t, "template", "focus", chart, "-f", chart+"/ci/usual.yaml", "--set", "terminationGracePeriodSeconds="+strconv.Itoa(grace))
	if err == nil {
		t.Error("a grace that is too short is taken")
	}
}

func TestProbesAreThoseOfTheProgram(t *testing.T) {
	everywhere(t, func(t *testing.T, o object) {
		c := o.container()
		for probe, path := range map[string]string{"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"} {
			if o.component() == "setup" {
				path = ""
			}
			if got := c.text(probe, "httpGet", "path"); got != path {
				t.Errorf("%s: %s asks %q, want %q", o.component(), probe, got, path)
			}
		}
		if o.component() != "setup" && (c.at("ports", 0, "containerPort") != 9464 || c.text("ports", 0, "name") != "http") {
			t.Errorf("%s: ports %v", o.component(), c.at("ports"))
		}
	})
}

// TestScannerAndCopiersReplaceEachOther: for a moment two scanners do no harm, so that an
// upgrade makes no gap, but a volume is for one of them.
func TestScannerAndCopiersReplaceEachOther(t *testing.T) {
	scanner := only(t, usual(t), "Deployment", "scanner")
	if scanner.at("spec", "replicas") != 1 || scanner.at("spec", "strategy", "rollingUpdate", "maxUnavailable") != 0 {
		t.Errorf("the scanner has replicas %v and strategy %v", scanner.at("spec", "replicas"), scanner.at("spec", "strategy"))
	}
	kept := only(t, usual(t, "scanner.persistence.enabled=true"), "Deployment", "scanner")
	if kept.text("spec", "strategy", "type") != "Recreate" {
		t.Errorf("a scanner with a volume has the strategy %v, and waits for the one before for ever", kept.at("spec", "strategy"))
	}
	if got := only(t, usual(t, "copier.replicas=7"), "Deployment", "copier").at("spec", "replicas"); got != 7 {
		t.Errorf("%v copiers, want 7", got)
	}
	all := usual(t, "keda.enabled=true", "keda.monitoringEndpoint=nats:8222")
	if got := only(t, all, "Deployment", "copier").at("spec", "replicas"); got != nil {
		t.Errorf("an upgrade sets %v copiers, whatever KEDA has decided", got)
	}
}

// TestSelectorsFindThePods: of every kind that selects pods.
func TestSelectorsFindThePods(t *testing.T) {
	all := usual(t, "serviceMonitor.enabled=true")
	for _, d := range []object{only(t, all, "Deployment", "scanner"), only(t, all, "Deployment", "copier")} {
		labels, _ := d.at("spec", "template", "metadata", "labels").(map[string]any)
		for _, selector := range []any{d.at("spec", "selector", "matchLabels"), only(t, all, "Service", d.component()).at("spec", "selector"), only(t, all, "NetworkPolicy", "network").at("spec", "podSelector", "matchLabels")} {
			if !within(selector, labels) {
				t.Errorf("%v does not select the %s, which has %v", selector, d.component(), labels)
			}
		}
		if only(t, all, "Service", d.component()).at("spec", "publishNotReadyAddresses") != true {
			t.Errorf("a %s that is not ready is not scraped, and that is the one to look at", d.component())
		}
		if budget := only(t, all, "PodDisruptionBudget", "copier").at("spec", "selector", "matchLabels"); within(budget, labels) != (d.component() == "copier") {
			t.Errorf("the budget of copiers and the %s: %v", d.component(), budget)
		}
	}
	if got := only(t, all, "PodDisruptionBudget", "copier").at("spec", "maxUnavailable"); got != 1 {
		t.Errorf("%v copiers may be away; with none, no node can be emptied", got)
	}
	monitor := only(t, all, "ServiceMonitor", "monitoring")
	labels, _ := only(t, all, "Service", "copier").at("metadata", "labels").(map[string]any)
	if !within(monitor.at("spec", "selector", "matchLabels"), labels) || labels[monitor.text("spec", "jobLabel")] != "copier" {
		t.Errorf("the ServiceMonitor %v does not find the job copier among the labels %v", monitor.at("spec"), labels)
	}
}

func within(selector any, labels map[string]any) bool {
	m, _ := selector.(map[string]any)
	for k, v := range m {
		if labels[k] != v {
			return false
		}
	}
	return len(m) > 0
}

// TestAChangedConfigurationReplacesThePods, since a file that is mounted alone stays as it
// was for a pod.
func TestAChangedConfigurationReplacesThePods(t *testing.T) {
	sum := func(all []object) string {
		return only(t, all, "Deployment", "copier").text("spec", "template", "metadata", "annotations", "checksum/config")
	}
	if a, b := sum(usual(t)), sum(usual(t, "config.agent.lookback_days=40")); a == b || len(a) != 64 {
		t.Errorf("checksums %q and %q", a, b)
	}
}

// TestOnlyWhoNeedsASecretHasIt.
func TestOnlyWhoNeedsASecretHasIt(t *testing.T) {
	want := map[string]map[string][]string{
		"usual.yaml":    {"scanner": {"focus-nats-scanner", "focus-oci", "focus-aws"}, "copier": {"focus-nats-copier", "focus-oci", "focus-aws"}, "setup": {"focus-nats-admin"}},
		"oke.yaml":      {"scanner": {"focus-nats-scanner", "focus-aws"}, "copier": {"focus-nats-copier", "focus-aws"}},
		"eks.yaml":      {"scanner": {"focus-oci"}, "copier": {"focus-oci"}},
		"instance.yaml": {"scanner": {"focus-nats-scanner", "focus-aws"}, "copier": {"focus-nats-copier", "focus-aws"}, "setup": {"focus-nats-admin"}},
	}
	everywhere(t, func(t *testing.T, o object) {
		var got []string
		for _, v := range o.pod().list("volumes") {
			if name := v.text("secret", "secretName"); name != "" {
				got = append(got, name)
				if v.at("secret", "defaultMode") != 0o440 {
					t.Errorf("%s: mode %v of %s", o.component(), v.at("secret", "defaultMode"), name)
				}
			}
		}
		if !slices.Equal(got, want[filepath.Base(t.Name())][o.component()]) {
			t.Errorf("%s has the secrets %q, want %q", o.component(), got, want[filepath.Base(t.Name())][o.component()])
		}
		for _, m := range o.container().list("volumeMounts") {
			if path := m.text("mountPath"); path != "/data" && m.at("readOnly") != true {
				t.Errorf("%s can change %s", o.component(), path)
			}
		}
	})
}

// TestEachPodIsTheRoleThatItNeeds: to NATS, with the inboxes of that role.
func TestEachPodIsTheRoleThatItNeeds(t *testing.T) {
	all := usual(t)
	for kind, wanted := range map[string]map[string]string{"Deployment": {"scanner": "scanner", "copier": "copier"}, "Job": {"setup": "admin"}} {
		for component, role := range wanted {
			i := slices.IndexFunc(nats.Roles("focus", "main"), func(r nats.Role) bool { return r.Name == role })
			if i < 0 {
				t.Fatalf("there is no role %s", role)
			}
			want := nats.Roles("focus", "main")[i].InboxPrefix()
			if c := load(t, all, only(t, all, kind, component)); c.NATS.InboxPrefix != want || c.NATS.NkeyFile != "/run/secrets/nats/user.nk" {
				t.Errorf("%s has the inboxes %s and the key %s, want %s", component, c.NATS.InboxPrefix, c.NATS.NkeyFile, want)
			}
		}
	}
}

// TestTheJobHasNoToken of Kubernetes, even where scanner and copiers need theirs.
func TestTheJobHasNoToken(t *testing.T) {
	all := usual(t, "config.oci.auth=workload_identity", "workloadIdentity.region=eu-frankfurt-1")
	_, environ := environment(only(t, all, "Deployment", "scanner"))
	for _, want := range []string{"OCI_RESOURCE_PRINCIPAL_VERSION=2.2", "OCI_RESOURCE_PRINCIPAL_REGION=eu-frankfurt-1"} {
		if !slices.Contains(environ, want) {
			t.Errorf("the scanner has %q, without %s", environ, want)
		}
	}
	for kind, component := range map[string]string{"Job": "setup", "Deployment": "scanner"} {
		if got := only(t, all, kind, component).pod().at("automountServiceAccountToken"); got != (component == "scanner") {
			t.Errorf("%s: automountServiceAccountToken %v", component, got)
		}
	}
}

// TestSetupComesFirst: before what needs the streams, with nothing that is not there yet.
func TestSetupComesFirst(t *testing.T) {
	all := usual(t)
	for _, o := range all {
		hook := o.text("metadata", "annotations", "helm.sh/hook") == "pre-install,pre-upgrade"
		if hook != (o.component() == "setup") {
			t.Errorf("%s %s is a hook: %v", o.kind(), o.text("metadata", "name"), hook)
		}
	}
	job := only(t, all, "Job", "setup")
	if job.pod().at("serviceAccountName") != nil {
		t.Error("the Job needs a ServiceAccount that is made after it")
	}
	for _, o := range all {
		if o.component() == "setup" && o.kind() != "Job" && o.text("metadata", "annotations", "helm.sh/hook-weight") != "-5" {
			t.Errorf("%s comes after the Job", o.kind())
		}
	}
	for _, v := range job.pod().list("volumes") {
		if name := v.text("configMap", "name"); name != "" && name != "focus-setup" {
			t.Errorf("the Job needs the ConfigMap %s, which is made after it", name)
		}
	}
}
