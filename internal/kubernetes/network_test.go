package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ways are the rules of a NetworkPolicy as text: protocol, port and peers.
func ways(o object, direction, peers string) (all []string) {
	for _, rule := range o.list("spec", direction) {
		for _, p := range rule.list("ports") {
			way := fmt.Sprintf("%v %v", p.at("protocol"), p.at("port"))
			if to := rule.at(peers); to != nil {
				way += fmt.Sprint(" ", to)
			}
			all = append(all, way)
		}
	}
	return all
}

// TestTheNetworkIsNarrow: in for metrics, out for names, NATS and HTTPS.
func TestTheNetworkIsNarrow(t *testing.T) {
	all := usual(t)
	policy := only(t, all, "NetworkPolicy", "network")
	if in := ways(policy, "ingress", "from"); !slices.Equal(in, []string{"TCP 9464"}) {
		t.Errorf("in: %q", in)
	}
	if out := ways(policy, "egress", "to"); !slices.Equal(out, []string{"UDP 53", "TCP 53", "TCP 4222", "TCP 443"}) {
		t.Errorf("out: %q", out)
	}
	setup := only(t, all, "NetworkPolicy", "setup")
	if in, out := ways(setup, "ingress", "from"), ways(setup, "egress", "to"); len(in) != 0 || !slices.Equal(out, []string{"UDP 53", "TCP 53", "TCP 4222"}) {
		t.Errorf("setup, in: %q, out: %q", in, out)
	}
	for _, o := range []object{policy, setup} {
		if types := fmt.Sprint(o.at("spec", "policyTypes")); types != "[Ingress Egress]" {
			t.Errorf("what is not allowed is not refused: %s", types)
		}
	}
}

// TestIdentitiesReachWhoGivesThem: the ports are those of docs/identities.md.
func TestIdentitiesReachWhoGivesThem(t *testing.T) {
	identities := read(t, "docs/identities.md")
	for file, want := range map[string]string{"oke.yaml": "TCP 12250", "instance.yaml": "TCP 80 [map[ipBlock:map[cidr:169.254.169.254/32]]]"} {
		out := ways(only(t, render(t, "-f", chart+"/ci/"+file), "NetworkPolicy", "network"), "egress", "to")
		if !slices.Contains(out, want) {
			t.Errorf("%s: out %q, want %q", file, out, want)
		}
	}
	for _, said := range []string{"12250", "169.254.169.254"} {
		if !strings.Contains(identities, said) {
			t.Errorf("docs/identities.md does not know %s", said)
		}
	}
}

// TestPeersCanBeNamed: who may scrape, and where HTTPS may go.
func TestPeersCanBeNamed(t *testing.T) {
	policy := only(t, render(t, "-f", chart+"/ci/oke.yaml"), "NetworkPolicy", "network")
	if in := ways(policy, "ingress", "from"); len(in) != 1 || !strings.Contains(in[0], "monitoring") {
		t.Errorf("in: %q", in)
	}
	out := ways(policy, "egress", "to")
	if !slices.Contains(out, "TCP 443 [map[ipBlock:map[cidr:0.0.0.0/0 except:[169.254.0.0/16]]]]") || !slices.Contains(out, "TCP 3128") {
		t.Errorf("out: %q", out)
	}
}
