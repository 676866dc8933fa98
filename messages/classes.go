package messages

// An Explanation says of a class what an operator wants to know. It is the one place
// for it: `failed list`, notifications and the table of the documentation are made of
// it, or held against it.
type Explanation struct {
	Meaning string // what happened
	Does    string // what the program does about it by itself: its rule of trying again
	Remedy  string // what an operator can do
}

// Classes are all classes, in the order of the documentation.
func Classes() []Class {
	return []Class{
		Connection, Unavailable, Throttled, Unauthenticated, Forbidden, ClockSkew, NotFound, Changed, Gone, Length,
		HashMismatch, Refused, InvalidGzip, Held, NoUpload, Conflict, LeaseLost, Queue, Unknown,
	}
}

// Explain says what c means; of a class that this version does not know, what Unknown means.
func (c Class) Explain() Explanation {
	if e, ok := explanations()[c]; ok {
		return e
	}
	return explanations()[Unknown]
}

func explanations() map[Class]Explanation {
	return map[Class]Explanation{
		Connection:      {"no answer, a reset, a stall", "tries again with growing pauses, of 30 s at most", "look at network, proxy and DNS; `test` shows which side"},
		Unavailable:     {"the side answered 5xx", "tries again with growing pauses, of 30 s at most, or of up to 5 minutes where the side asks for them", "wait; it is theirs"},
		Throttled:       {"429 or SlowDown", "tries again with growing pauses, of 30 s at most, or of up to 5 minutes where the side asks for them", "lower `agent.max_concurrent_transfers`, or run fewer copiers"},
		Unauthenticated: {"the credentials are not accepted", "reads the credentials again, and tries again with growing pauses, of 30 s at most", "check the key and its fingerprint in the OCI configuration, or the S3 keys"},
		Forbidden:       {"known credentials, but not allowed to do this", "reads the credentials again, and tries again with growing pauses, of 30 s at most", "the policy at Oracle, or the policy of the S3 keys"},
		ClockSkew:       {"the clock of this machine is too far off for signatures", "tries again with growing pauses, of 30 s at most", "set the clock; run an NTP client"},
		NotFound:        {"a bucket or a listing is not there for these credentials", "at OCI, reads the credentials again; tries again with growing pauses, of 30 s at most", "at OCI this is how a missing policy or the wrong region looks: set `oci.region` to the home region and check the policy"},
		Changed:         {"the object was overwritten while it was read", "copies the new version", "nothing"},
		Gone:            {"the object no longer exists, proven by a listing without it", "records it as gone", "nothing"},
		Length:          {"fewer or more bytes than the listing declares", "tries again with growing pauses, by `retry`; nothing became visible", "a proxy that cuts or rewrites bodies, if it lasts"},
		HashMismatch:    {"the bytes differ from the declared checksum", "tries three times with growing pauses, by `retry`, then gives the file up; nothing became visible", "read the object with Oracle's own tools; then `failed retry`"},
		Refused:         {"a name or a message that will never be accepted", "gives the file up at once", "the reason stands in `failed list`"},
		InvalidGzip:     {"the bytes are as declared, but no whole gzip file, and `integrity.require_valid_gzip` asks for one", "gives the file up at once; nothing became visible", "wait for a new version from Oracle, which is copied by itself; `failed retry` fails again unless the setting is changed"},
		Held:            {"a delivered file has other bytes now, and `integrity.changed` is `hold`", "keeps the old copy at the destination and gives the new version up", "decide: `failed retry` sends the new version, `failed discard` keeps the old one"},
		NoUpload:        {"the multipart upload does not exist any more", "begins a new one", "a lifecycle rule that aborts uploads within hours, if it lasts"},
		Conflict:        {"another worker wrote the ledger record first", "reads it again and goes on from there", "nothing"},
		LeaseLost:       {"the message may by now belong to another worker", "commits nothing; the other one copies", "a machine that is frozen for minutes, or `nats.ack_wait` below what its network needs"},
		Queue:           {"NATS did not answer", "tries again after two seconds, whatever the file", "`nats server check jetstream`, or the disk of `nats.store_dir`"},
		Unknown:         {"anything else", "tries again with growing pauses, by `retry`", "the log has the text; tell us"},
	}
}
