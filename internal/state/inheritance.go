package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

// Layouts are the ways in which the Python agent named objects in its time,
// whatever its naming section said.
func Layouts() []string {
	return []string{"{YYYY}-{MM}-{DD}_{basename}", "{YYYY}_{MM}_{DD}/{basename}", "{YYYY}/{MM}/{DD}/{basename}"}
}

// An Inheritance is what a state.json says of the objects of one source.
type Inheritance struct {
	// First and Last are the report days of the entries.
	First, Last messages.Day
	// Layouts counts the entries by the template that makes their keys.
	Layouts map[string]int
	// Unreadable are the entries that cannot be used.
	Unreadable []Unreadable
	// Oldest is when the oldest entry was transferred.
	Oldest time.Time

	entries map[string]Entry // by object name
}

// Inherit looks at the entries with the rules of a route. A report of more than
// the size limit is an entry like others.
func Inherit(p Python, rules messages.Rules) (*Inheritance, error) {
	rules.MaxSize = 0
	namings := []messages.Naming{rules.Naming}
	for _, template := range Layouts() {
		n, err := messages.NewNaming(template, "%Y-%m-%d", "_", true)
		if err != nil {
			return nil, err // unreachable: the templates are constants
		}
		namings = append(namings, n)
	}
	in := &Inheritance{Layouts: map[string]int{}, Unreadable: slices.Clone(p.Unreadable), entries: map[string]Entry{}}
	// All that is older than the oldest entry counts as delivered, so that a time to
	// come would keep every file from being copied. A clock may be in another zone.
	tomorrow := time.Now().Add(24 * time.Hour)
	p.Entries = slices.DeleteFunc(slices.Clone(p.Entries), func(e Entry) bool {
		ahead := e.Transferred.After(tomorrow)
		if ahead {
			in.Unreadable = append(in.Unreadable, Unreadable{e.Key, fmt.Errorf("time_transferred: %s is in the future", e.Transferred.Format(time.DateOnly))})
		}
		return ahead
	})
	in.Oldest = p.Oldest()
	for _, e := range p.Entries {
		if err := in.add(e, rules, namings); err != nil {
			in.Unreadable = append(in.Unreadable, Unreadable{e.Key, err})
		}
	}
	return in, nil
}

func (in *Inheritance) add(e Entry, rules messages.Rules, namings []messages.Naming) error {
	r, err := rules.Report(e.Object)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(namings, func(n messages.Naming) bool { return n.Key(r.Day, r.Basename) == e.Key })
	if i < 0 {
		return fmt.Errorf("its key follows no known layout for %q", e.Object.Name)
	}
	in.Layouts[namings[i].Template()]++
	in.entries[e.Object.Name] = e
	if in.First == "" || r.Day < in.First {
		in.First = r.Day
	}
	in.Last = max(in.Last, r.Day)
	return nil
}

// Entries is how many can be used.
func (in *Inheritance) Entries() int { return len(in.entries) }

// CheckLayout is an error where the keys of the entries are not those that n
// makes: then the same data would get a second name.
func (in *Inheritance) CheckLayout(n messages.Naming) error {
	found := slices.Sorted(maps.Keys(in.Layouts))
	switch {
	case len(found) == 0 || len(found) == 1 && found[0] == n.Template():
		return nil
	case len(found) == 1:
		return fmt.Errorf("the Python agent named its objects %s, and the configuration names them %s: each report would arrive a second time under another name; nothing was written: import again with\nnaming:\n  %s",
			found[0], n.Template(), strings.Join(settings(found[0]), "\n  "))
	}
	var b strings.Builder
	b.WriteString("the Python agent changed the names of its objects while it kept this file:\n")
	for _, template := range found {
		fmt.Fprintf(&b, "  %d entries  %s\n", in.Layouts[template], template)
	}
	b.WriteString("only Umbrella can say which of them it reads; take the entries of the others out of a copy of the file, whose reports are then sent again, and import the copy")
	return fmt.Errorf("%s", b.String())
}

// settings are the lines of the section naming that make a layout.
func settings(template string) []string {
	lines := []string{fmt.Sprintf("template: %q", template)}
	if strings.Count(template, "/") > 1 {
		lines = append(lines, "allow_nested: true")
	}
	return lines
}

// A Finding is what is known of a listed object.
type Finding string

// The findings. What is not Delivered or Presumed is to be copied.
const (
	Delivered Finding = "delivered" // an entry speaks of this version
	Presumed  Finding = "presumed"  // older than what the Python agent remembers
	Changed   Finding = "changed"   // an entry speaks of another version
	New       Finding = "new"
)

// Judge says what is known of a listed object, and the entry where there is one.
func (in *Inheritance) Judge(o messages.Object) (Finding, Entry) {
	e, ok := in.entries[o.Name]
	switch {
	case ok && e.sameVersion(o):
		return Delivered, e
	case ok:
		return Changed, e
	case isBefore(o, in.Oldest):
		return Presumed, e
	}
	return New, e
}

// clockSlack is how far the clock of the Python agent's host may have been behind.
const clockSlack = 5 * time.Minute

// sameVersion reports whether o is the version that was transferred: by the etag
// where the entry has one, else by size, by the MD5 where both have one, and by
// the time of creation where both have one. The entry may have lost the fraction
// of its second. What was modified after the transfer is another version, too.
func (e Entry) sameVersion(o messages.Object) bool {
	was := e.Object
	if was.ETag != "" && o.ETag != "" {
		return was.ETag == o.ETag && was.Size == o.Size
	}
	created := o.Created
	if was.Created.Nanosecond() == 0 {
		created = created.Truncate(time.Second)
	}
	newer := !was.Created.IsZero() && created.After(was.Created) || !e.Transferred.IsZero() && o.Modified.After(e.Transferred.Add(clockSlack))
	return was.Size == o.Size && !newer && (was.MD5 == "" || o.MD5 == "" || was.MD5 == o.MD5)
}

// isBefore reports whether o existed before the oldest entry was transferred. An
// object that was changed since then is not that old.
func isBefore(o messages.Object, oldest time.Time) bool {
	known := o.Created
	if o.Modified.After(known) {
		known = o.Modified
	}
	return !known.IsZero() && known.Before(oldest)
}
