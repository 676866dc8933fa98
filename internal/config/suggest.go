package config

import (
	"slices"
	"strings"
)

// nearest says what was probably meant by a key that is none: the same name in
// another section, a longer name, or one like it.
func (l *loader) nearest(path string) string {
	var paths []string
	for _, f := range l.fields {
		paths = append(paths, f.path)
		for section := f.path; strings.Contains(section, "."); {
			section = section[:strings.LastIndex(section, ".")]
			paths = append(paths, section)
		}
	}
	name := path[strings.LastIndex(path, ".")+1:]
	for _, p := range paths {
		if path != "" && strings.HasSuffix(p, "."+name) || len(name) >= 3 && strings.HasPrefix(p, path) {
			return "did you mean " + p + "?"
		}
	}
	if fix := suggest(path, paths); fix != "" {
		return fix
	}
	return "remove it; " + templateAdvice
}

// Suggest asks whether the candidate that is nearest to name was meant; empty where
// none is near.
func Suggest(name string, candidates []string) string {
	return suggest(name, slices.Clone(candidates))
}

// suggest names the candidate that is nearest to name, if any is near.
func suggest(name string, candidates []string) string {
	slices.Sort(candidates)
	best, distance := "", len(name)/4+2
	for _, c := range candidates {
		if d := editDistance(name, c, distance); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// editDistance is Levenshtein's distance of a and b, or limit where the
// difference of their lengths alone reaches that.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
