package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"oracle-focus-agent/internal/config"
)

// A passage is a fenced block of a page, or a line of it outside of all blocks.
type passage struct {
	place    string // file:line
	language string
	fenced   bool
	text     string
}

// passages reads all pages that speak to an operator.
func passages(t *testing.T) (all []passage) {
	t.Helper()
	pages := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, passagesOf(page, string(raw))...)
	}
	return all
}

func passagesOf(page, text string) (all []passage) {
	var block *passage
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		before, language, fence := strings.Cut(line, "```")
		switch {
		case fence && block == nil:
			block, indent = &passage{place: fmt.Sprintf("%s:%d", page, i+1), language: language, fenced: true}, before
		case fence:
			all, block = append(all, *block), nil
		case block != nil:
			block.text += strings.TrimPrefix(line, indent) + "\n"
		default:
			all = append(all, passage{place: fmt.Sprintf("%s:%d", page, i+1), text: line})
		}
	}
	return all
}

// spoken are the commands of this program that a passage names, each as its words.
func (p passage) spoken() (all [][]string) {
	if !p.fenced {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.text, -1) {
			if words := ours(m[1]); words != nil {
				all = append(all, words)
			}
		}
		return all
	}
	if p.language != "" && p.language != "console" {
		return nil
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(p.text, "\\\n", ""), "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			for part := range strings.SplitSeq(command, "&&") {
				if words := ours(part); words != nil {
					all = append(all, words)
				}
			}
		}
	}
	return all
}

// ours are the arguments of the first call of this program in a shell command, up to
// what the shell keeps for itself or the page leaves out.
func ours(command string) (words []string) {
	found := false
	quoted := regexp.MustCompile(`"[^"]*"|'[^']*'`)
	command = quoted.ReplaceAllStringFunc(command, func(text string) string { return strings.ReplaceAll(text, " ", "_") })
	for word := range strings.FieldsSeq(command) {
		switch {
		case !found:
			found = strings.HasSuffix("/"+word, "/oracle-focus-agent")
			if found {
				words = []string{}
			}
		case strings.HasPrefix(word, "…") || slices.Contains([]string{"|", "||", ";", ">", "2>&1", "&", "#"}, word):
			return words
		default:
			words = append(words, strings.Trim(word, `'"`))
		}
	}
	return words
}

// understood parses a command without running it. One that is only spoken of is not
// whole: it may lack its arguments.
func understood(words []string, whole bool) error {
	root := (&app{}).root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(words...)
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help {
		return nil
	}
	if args := cmd.Flags().Args(); len(args) > 0 || whole {
		if err := cmd.ValidateArgs(args); err != nil {
			return err
		}
	}
	return cmd.ValidateFlagGroups()
}

// openEnd is about a flag that a sentence names without its value.
func openEnd(err error) bool {
	_, ok := errors.AsType[*pflag.ValueRequiredError](err)
	return ok
}

// No page names a command or a flag that is not there.
func TestEveryCommandOfThePagesExists(t *testing.T) {
	seen := 0
	for _, p := range passages(t) {
		for _, words := range p.spoken() {
			seen++
			if err := understood(words, p.fenced); err != nil && !(!p.fenced && openEnd(err)) {
				t.Errorf("%s: oracle-focus-agent %s: %v", p.place, strings.Join(words, " "), err)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d commands were found; are they in blocks called console?", seen)
	}
}

// `sync --force` and `state import FILE` name commands, too.
func TestEveryShortCommandOfThePagesExists(t *testing.T) {
	groups, commands := map[string]bool{}, map[string]bool{}
	each((&app{}).root(), func(c *cobra.Command) {
		if c.HasParent() && !c.Parent().HasParent() {
			commands[c.Name()], groups[c.Name()] = true, c.HasSubCommands()
		}
	})
	seen := 0
	for _, p := range passages(t) {
		if p.fenced {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.text, -1) {
			words := strings.Fields(m[1])
			if len(words) < 2 || !commands[words[0]] || words[1] == "…" || !groups[words[0]] && !strings.Contains(m[1], " --") {
				continue
			}
			seen++
			if err := understood(words, false); err != nil && !openEnd(err) {
				t.Errorf("%s: %s: %v", p.place, m[1], err)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found", seen)
	}
}

// Each page's configuration is one that the program takes, and each policy is JSON.
func TestEveryBlockOfThePagesIsWellFormed(t *testing.T) {
	sections := map[string]any{}
	if err := json.Unmarshal(config.Schema(), &sections); err != nil {
		t.Fatal(err)
	}
	known, _ := sections["properties"].(map[string]any)
	configurations, policies := 0, 0
	for _, p := range passages(t) {
		switch p.language {
		case "json":
			policies++
			if !json.Valid([]byte(p.text)) {
				t.Errorf("%s: this is no JSON:\n%s", p.place, p.text)
			}
		case "yaml":
			var top map[string]any
			if err := yaml.Unmarshal([]byte(p.text), &top); err != nil {
				t.Errorf("%s: %v", p.place, err)
			}
			foreign := false
			for name := range top {
				foreign = foreign || known[name] == nil
			}
			if foreign && top["oci"] == nil && top["s3"] == nil {
				continue
			}
			configurations++
			loads(t, p)
		}
	}
	if configurations < 3 || policies < 2 {
		t.Errorf("only %d configurations and %d policies were found", configurations, policies)
	}
}

// loads holds a block to what the loader takes, where the variables that it names are set.
func loads(t *testing.T, p passage) {
	environ := []string{"HOME=" + t.TempDir()}
	for _, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(p.text, -1) {
		environ = append(environ, m[1]+"=set")
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(p.text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := config.Load(config.Options{Path: file, Environ: environ, Incomplete: true})
	if err != nil {
		t.Errorf("%s: %v", p.place, err)
	}
	for _, w := range warnings {
		t.Errorf("%s: warning: %v", p.place, w)
	}
}
