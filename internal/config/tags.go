package config

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Tags are tags of an object, written as key=value,key=value. The file may also
// hold them as a mapping, or as a list of key=value.
type Tags string

// maxTags is how many tags S3 takes.
const maxTags = 10

var (
	errTag       = &valueError{"holds what is no tag", "write each tag as key=value, with a comma between two"}
	errTagLong   = &valueError{"holds a tag that is too long", "use at most 128 characters in a key and 256 in its value"}
	errTagChar   = &valueError{"holds a tag with a character that S3 refuses", "use letters, digits, spaces and + - = . _ : / @"}
	errTagTwice  = &valueError{"holds two tags with one key", "keep one of them"}
	errTagAWS    = &valueError{"holds a key that begins with aws:, which is Amazon's", "use another key"}
	errTagsMany  = &valueError{"holds more than 10 tags", "keep 10, which is all that S3 takes"}
	errTagEquals = &valueError{"holds a key with an equals sign", "write the equals sign only in values"}
)

// UnmarshalText reads key=value,key=value; spaces beside a comma are dropped.
func (t *Tags) UnmarshalText(text []byte) error {
	var items []string
	seen := map[string]bool{}
	for item := range strings.SplitSeq(string(text), ",") {
		item = strings.TrimSpace(item)
		if item == "" && len(strings.TrimSpace(string(text))) == 0 {
			break
		}
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return errTag
		}
		if err := badTag(key, value); err != nil {
			return err
		}
		if seen[key] {
			return errTagTwice
		}
		seen[key] = true
		items = append(items, item)
	}
	if len(items) > maxTags {
		return errTagsMany
	}
	*t = Tags(strings.Join(items, ","))
	return nil
}

func badTag(key, value string) error {
	bad := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" +-=._:/@", r)
	}
	switch {
	case utf8.RuneCountInString(key) > 128 || utf8.RuneCountInString(value) > 256:
		return errTagLong
	case strings.ContainsFunc(key, bad) || strings.ContainsFunc(value, bad):
		return errTagChar
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return errTagAWS
	}
	return nil
}

// Query is the tags as a URL's query, which is how S3 takes them.
func (t Tags) Query() string {
	var pairs []string
	for item := range strings.SplitSeq(string(t), ",") {
		if key, value, ok := strings.Cut(item, "="); ok {
			pairs = append(pairs, escape(key)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// escape writes a space as %20: a plus sign is one only in forms.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
