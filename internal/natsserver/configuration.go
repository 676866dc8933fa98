package natsserver

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"oracle-focus-agent/internal/nats"
)

// title is the first line of the configuration, by which it is known again.
func (o Options) title() string {
	return fmt.Sprintf("# oracle-focus-agent: nats-server for prefix %q, route %q", o.Prefix, o.Route)
}

const general = `
# Written by "oracle-focus-agent setup --nats-config", and anew by each run of it.
# Settings of your own belong into another file beside it, for nats-server to start
# with, that begins with: include nats.conf

server_name: %[1]s
port: 4222

# Nobody comes in without TLS. Who a client is, its nkey proves, not a certificate.
tls {
  cert_file: %[2]q
  key_file: %[3]q
  min_version: "1.3"
  timeout: 5
}

# Monitoring, for this host only.
http: "127.0.0.1:8222"

jetstream {
  store_dir: %[4]q
  # What was acknowledged is on the disk. With the server's default a power cut
  # takes back what was acknowledged in up to two minutes before it.
  sync_interval: always
  # Instead of limits that the server would take from this machine at its start: a
  # disk that was nearly full then would keep refusing after it was cleared.
  max_file_store: 16GB
  max_memory_store: 64MB
}

system_account: SYS

# Of each user the server knows only the public half of the key. What a user may do
# keeps mistakes and a stolen key to that role, with one exception that no server can
# keep out: whoever may ask it something also says where the answer goes, and the
# server may publish anywhere. So a user can still litter the queue and the ledger
# with answers; the program takes them for damaged or outdated, and works again.
`

// clustered is what the servers of a cluster need besides.
const clustered = `
# The servers know each other by certificates of this authority, which no client has.
cluster {
  name: %[1]q
  port: 6222
  # Clients are told of all servers by nats.url; the addresses that the servers have
  # among themselves lead nowhere from another network.
  no_advertise: true
  tls {
    cert_file: %[2]q
    key_file: %[3]q
    ca_file: %[4]q
    verify: true
    min_version: "1.3"
    timeout: 5
  }
  routes: [
%[5]s  ]
}
`

// cluster is the part of nats.conf by which servers find each other.
func (o Options) cluster(cert, key, ca string) string {
	if len(o.Cluster) == 0 {
		return ""
	}
	var routes strings.Builder
	for _, host := range o.Cluster {
		fmt.Fprintf(&routes, "    %q\n", "tls://"+net.JoinHostPort(host, "6222"))
	}
	return fmt.Sprintf(clustered, o.serverName(), cert, key, ca, routes.String())
}

func (o Options) serverName() string { return o.Prefix + "-nats" }

// configuration is nats.conf. users are the public keys by role.
func (o Options) configuration(users map[string]string) []byte {
	server := filepath.Join(o.Dir, "server")
	cert, key := filepath.Join(server, "cert.pem"), filepath.Join(server, "key.pem")
	name := strconv.Quote(o.serverName())
	if len(o.Cluster) > 0 {
		name = "$NATS_SERVER_NAME # of each server its own"
	}
	var b bytes.Buffer
	b.WriteString(o.title())
	fmt.Fprintf(&b, general, name, cert, key, o.StoreDir)
	b.WriteString(o.cluster(cert, key, filepath.Join(server, "ca.pem")))
	fmt.Fprintf(&b, "\naccounts {\n  %q {\n    jetstream: enabled\n    users: [\n", o.Prefix)
	for _, r := range nats.Roles(o.Prefix, o.Route) {
		writeRole(&b, r, users[r.Name])
	}
	fmt.Fprintf(&b, `    ]
  }
  # %[1]s: the server itself, as in "nats server report"; no data
  SYS {
    users: [ { nkey: %[2]s } ]
  }
}
`, systemRole, users[systemRole])
	return b.Bytes()
}

func writeRole(b *bytes.Buffer, r nats.Role, key string) {
	fmt.Fprintf(b, "      # %s: %s\n", r.Name, r.Does)
	if r.Everything {
		fmt.Fprintf(b, "      { nkey: %s }\n", key)
		return
	}
	fmt.Fprintf(b, "      { nkey: %s, permissions: {\n", key)
	writeGrants(b, "publish", r.Publish)
	writeGrants(b, "subscribe", r.Subscribe)
	if r.Answers {
		b.WriteString("          # one answer to each request that it was sent\n          allow_responses: true\n")
	}
	b.WriteString("      } }\n")
}

func writeGrants(b *bytes.Buffer, verb string, grants []nats.Grant) {
	fmt.Fprintf(b, "          %s: { allow: [\n", verb)
	for _, g := range grants {
		fmt.Fprintf(b, "            # %s\n", g.For)
		for _, s := range g.Subjects {
			fmt.Fprintf(b, "            %q\n", s)
		}
	}
	b.WriteString("          ] }\n")
}
