package cli

import (
	"os/exec"
	"testing"
	"unicode"
)

// A command that is shown can be copied, whatever the name in it.
func TestAQuotedWordIsThatWordToTheShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not on the PATH")
	}
	for _, s := range []string{
		"", "a", "FOCUS Reports/2026/11/25/1.csv.gz", "it's $(id) `id` \\ \"x\" ; & | * ~", "größe-東京",
		"a\nb'c\\d\x1be", "\u202egpj$(id)'", "\x01f\x7f\u009b0\xff", "'\n'",
	} {
		quoted := shellQuoted(s)
		for _, r := range quoted {
			if !unicode.IsPrint(r) {
				t.Errorf("shellQuoted(%q) = %q has %U", s, quoted, r)
			}
		}
		if out, err := exec.CommandContext(t.Context(), bash, "-c", "printf %s "+quoted).Output(); err != nil || string(out) != s {
			t.Errorf("shellQuoted(%q) = %s, which is %q to the shell, %v", s, quoted, out, err)
		}
	}
}
