package config

import (
	"maps"
	"reflect"
)

// Adopt is c with the values that next has for those keys that may change while an
// agent runs. It tells which of them differ, and which keys differ that may not:
// those keep the value of c.
func (c *Config) Adopt(next *Config, may func(key string) bool) (out *Config, changed, kept []string) {
	out = new(*c)
	out.origins = maps.Clone(c.origins)
	theirs := fieldsOf(next)
	for i, f := range fieldsOf(out) {
		mine, new := reflect.ValueOf(f.ptr).Elem(), reflect.ValueOf(theirs[i].ptr).Elem()
		if reflect.DeepEqual(mine.Interface(), new.Interface()) { // of a secret, what it holds
			continue
		}
		if !may(f.path) {
			kept = append(kept, f.path)
			continue
		}
		changed = append(changed, f.path)
		mine.Set(new)
		delete(out.origins, f.path)
		if origin, ok := next.origins[f.path]; ok {
			out.origins[f.path] = origin
		}
	}
	return out, changed, kept
}
