package nats

import (
	"slices"

	"oracle-focus-agent/messages"
)

// A Role is one kind of user of a server, with the least that it needs there.
// The table of roles stands beside the adapter since it follows from its calls: a
// call that is added there needs a grant here.
type Role struct {
	// Name is that of the program's role; it also names the role's inboxes.
	Name string
	// Does says in a few words what the role is for.
	Does string
	// Publish and Subscribe are all that the role may do, unless Everything.
	Publish, Subscribe []Grant
	// Everything is allowed.
	Everything bool
	// Answers allows one answer to each request that the role was sent.
	Answers bool
}

// A Grant is some subjects and what they are needed for.
type Grant struct {
	For      string
	Subjects []string
}

// InboxPrefix is nats.inbox_prefix for the role, so that no role can read what
// another one is answered.
func (r Role) InboxPrefix() string { return "_INBOX_" + r.Name }

// Roles is the table for the assets of one route. Nobody but admin can change,
// empty or delete an asset, but that scanners and agents hold and release the consumers
// as the ledger says; only copiers take files, and only scanners queue them.
//
// What no table can keep apart: whoever may ask the server something also names the
// subject of the answer, and the server may publish to any.
func Roles(prefix, route string) []Role {
	t := roleTable{messages.Define(prefix, route, 1, 0), prefix, route}
	scans := []Grant{
		{"queue files", []string{t.Live.FilterSubject, t.Backfill.FilterSubject}},
		{"keep the marks of the scans, and which digest was told", t.key(messages.MarksKey(route), messages.DigestKey(route))},
		{"keep the result of the last comparison of source, ledger and destination", t.key(messages.VerificationKey(route))},
		{"forget the records of files that the source no longer lists", t.key(route + ".*.*.*.*")},
		{"put on record what an operator or a schedule orders", t.key(messages.AuditPrefix(route) + ".*")},
		{"hold the consumers as long as an operator has paused the route", each("$JS.API.CONSUMER.PAUSE."+t.Files.Name+".", t.consumers()...)},
	}
	copies := []Grant{
		{"take files", each("$JS.API.CONSUMER.MSG.NEXT."+t.Files.Name+".", t.consumers()...)},
		{"renew and settle them, in both forms that servers have for it", t.acks()},
		{"write records, and notes of open uploads", t.key(route+".*.*.*.*", route+".upload.*")},
		{"file dead letters", t.Dead.Subjects},
		{"hold a part of the limits, and remove what dead workers held", t.key(messages.LimitPrefix(route) + ".*")},
	}
	watches := []Grant{
		{"watch the ledger", t.watch()},
		{"read dead letters", t.peek(t.Dead.Name)},
		{"pause and resume", t.key(messages.PauseKey(route))},
		{"ask every instance for its status", []string{prefix + ".*.status"}},
	}
	return []Role{
		t.serving("scanner", "lists the source, queues files, keeps the marks of its scans, forgets old records", scans),
		t.serving("copier", "takes files, copies them, records what it did", copies),
		t.serving("agent", "run, sync, failed, state and test: all that scanner and copier do", slices.Concat(scans, copies, watches)),
		t.viewer(),
		{Name: "admin", Does: "setup, and what an operator changes by hand: everything in this account", Everything: true},
	}
}

type roleTable struct {
	messages.Assets
	prefix, route string
}

// serving is a role of the program: it reads what all of them read and tells its
// status when asked.
func (t roleTable) serving(name, does string, own []Grant) Role {
	service := t.prefix + "-" + name
	var control []string
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		control = append(control, "$SRV."+verb, "$SRV."+verb+"."+service, "$SRV."+verb+"."+service+".*")
	}
	r := Role{Name: name, Does: does, Answers: true}
	r.Publish = slices.Concat([]Grant{
		{"see what the assets are and hold", t.look()},
		{"read the ledger", each("$JS.API.DIRECT.GET."+t.bucket(), "", ".>")},
		{"read a message of the queue, to know its age", t.peek(t.Files.Name)},
		{"note which source and destination the ledger speaks of", t.key(messages.IdentityKey(t.route))},
	}, own)
	r.Subscribe = []Grant{
		{"answers", []string{r.InboxPrefix() + ".>"}},
		{"discovery, as in `nats service ls`", control},
		{"be asked for the status", []string{t.prefix + "." + name + ".status"}},
	}
	return r
}

// viewer is for the nats command line: it reads everything and changes nothing.
func (t roleTable) viewer() Role {
	r := Role{Name: "viewer", Does: "the nats command line, to look at everything and change nothing"}
	streams := t.streams()
	r.Publish = []Grant{
		{"list streams, consumers and buckets", append([]string{"$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"},
			slices.Concat(each("$JS.API.CONSUMER.NAMES.", streams...), each("$JS.API.CONSUMER.LIST.", streams...))...)},
		{"see what they are and hold", append(t.look(), each("$JS.API.CONSUMER.INFO.", t.bucket()+".*", t.Dead.Name+".*")...)},
		{"read messages and records", slices.Concat(t.peek(t.Files.Name), t.peek(t.Dead.Name), t.peek(t.bucket()))},
		{"list, watch and page through records and dead letters", slices.Concat(t.page(t.bucket()), t.flow(), t.page(t.Dead.Name))},
		{"find instances and ask for their status", []string{"$SRV.>", t.prefix + ".*.status"}},
		{"check the connection", []string{"$SYS.REQ.USER.INFO", r.InboxPrefix() + ".>"}},
	}
	r.Subscribe = []Grant{
		{"answers", []string{r.InboxPrefix() + ".>"}},
		{"events", []string{"$JS.EVENT.ADVISORY.>", "$JS.EVENT.METRIC.>"}},
	}
	return r
}

func (t roleTable) bucket() string      { return "KV_" + t.State.Name }
func (t roleTable) streams() []string   { return []string{t.Files.Name, t.Dead.Name, t.bucket()} }
func (t roleTable) consumers() []string { return []string{t.Live.Name, t.Backfill.Name} }

func (t roleTable) key(keys ...string) []string { return each("$KV."+t.State.Name+".", keys...) }

func (t roleTable) look() []string {
	return slices.Concat([]string{"$JS.API.INFO"}, each("$JS.API.STREAM.INFO.", t.streams()...),
		each("$JS.API.CONSUMER.INFO."+t.Files.Name+".", t.consumers()...))
}

func (t roleTable) peek(stream string) []string {
	return each("$JS.API.", "STREAM.MSG.GET."+stream, "DIRECT.GET."+stream, "DIRECT.GET."+stream+".>")
}

// acks lists where messages are settled: servers are on their way to a form that
// names the domain and the account first.
func (t roleTable) acks() (out []string) {
	for _, c := range t.consumers() {
		out = append(out, each("$JS.ACK.", t.Files.Name+"."+c+".>", "*.*."+t.Files.Name+"."+c+".>")...)
	}
	return out
}

// watch is a short-lived consumer of the bucket.
func (t roleTable) watch() []string {
	return append(each("$JS.API.CONSUMER.", "CREATE."+t.bucket()+".*.$KV."+t.State.Name+".>", "DELETE."+t.bucket()+".*"), t.flow()...)
}

// flow is where a watch tells that it keeps up, again in both forms.
func (t roleTable) flow() []string { return each("$JS.FC.", t.bucket()+".>", "*.*."+t.bucket()+".>") }

// page is a consumer that the nats command line makes to show a stream page by
// page. Settling there removes nothing: neither stream is a work queue.
func (t roleTable) page(stream string) []string {
	return append(each("$JS.API.CONSUMER.", "CREATE."+stream+".>", "MSG.NEXT."+stream+".*", "DELETE."+stream+".*"),
		each("$JS.ACK.", stream+".>", "*.*."+stream+".>")...)
}

func each(prefix string, rest ...string) (out []string) {
	for _, r := range rest {
		out = append(out, prefix+r)
	}
	return out
}
