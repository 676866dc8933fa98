package nats

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const kvDuplicates = 2 * time.Minute

// A Difference is one field in which an asset is not what this program defines.
type Difference struct {
	Asset string `json:"-"`
	Field string `json:"field"`
	Has   string `json:"has"`
	Wants string `json:"wants"`
	// Immutable: the server cannot change this field of an existing asset.
	Immutable bool `json:"immutable,omitempty"`
}

// DifferenceError means that assets exist but are not what this program defines,
// and that nothing was changed.
type DifferenceError struct {
	Differences []Difference
	Remedy      string
}

func (e *DifferenceError) Error() string {
	var b strings.Builder
	b.WriteString("the assets on the nats server differ from what this version defines: ")
	for i, d := range e.Differences {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s is %s, want %s", d.Asset, d.Field, d.Has, d.Wants)
		if d.Immutable {
			b.WriteString(" (cannot be changed in place)")
		}
	}
	return b.String() + "; " + e.Remedy
}

// Fields by their names in the server's JSON.

// operatorFields may differ without anybody being asked: placement and limits of
// storage are the operator's, metadata carries monitoring hints, a pause is for
// maintenance. The schema number in the metadata is looked at separately.
func operatorField(name string) bool {
	return slices.Contains([]string{"placement", "max_bytes", "metadata", "pause_until"}, name)
}

// adjustable fields follow the configuration of this program at any schema.
func adjustable(name string) bool {
	return name == "ack_wait" || name == "num_replicas"
}

// immutable fields are refused by the server in an update.
func immutable(name string) bool {
	return slices.Contains([]string{
		"name", "retention", "storage", "sealed", "mirror", "first_seq", "persist_mode", "allow_msg_counter",
		"allow_msg_schedules",
		"durable_name", "deliver_policy", "ack_policy", "replay_policy", "mem_storage", "max_waiting",
		"deliver_subject", "flow_control", "idle_heartbeat", "opt_start_seq", "opt_start_time",
	}, name)
}

// compare lists the fields in which has, an answer of the server, differs from
// wants, a definition of ours. Both are configurations of the same type.
func compare[T any](asset string, has, wants T) []Difference {
	var out []Difference
	h, w := reflect.ValueOf(has), reflect.ValueOf(wants)
	for i := range h.NumField() {
		name := jsonName(h.Type().Field(i))
		if operatorField(name) || same(h.Field(i), w.Field(i)) {
			continue
		}
		out = append(out, Difference{
			Asset: asset, Field: name, Has: format(h.Field(i)), Wants: format(w.Field(i)),
			// These can be set, but never unset.
			Immutable: immutable(name) || (name == "deny_delete" || name == "deny_purge" || name == "allow_msg_ttl") && h.Field(i).Bool(),
		})
	}
	return out
}

// adopt returns has with the differing fields as wants has them: an update keeps
// what is the operator's.
func adopt[T any](has, wants T, differences []Difference) T {
	out, w := reflect.ValueOf(&has).Elem(), reflect.ValueOf(wants)
	for i := range out.NumField() {
		name := jsonName(out.Type().Field(i))
		if slices.ContainsFunc(differences, func(d Difference) bool { return d.Field == name }) {
			out.Field(i).Set(w.Field(i))
		}
	}
	return has
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// same counts nil and empty as equal, since JSON does not tell them apart.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice, reflect.Map:
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

func format(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.Interface())
	case reflect.Pointer:
		if v.IsNil() {
			return "unset"
		}
		return fmt.Sprintf("%+v", v.Elem().Interface())
	}
	return fmt.Sprintf("%v", v.Interface())
}
