package logging_test

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestF101ALogThatIsCutIsWrittenFromItsBegin, as copytruncate of logrotate cuts it: there
// is no hole, and no line is lost that came later.
func TestF101ALogThatIsCutIsWrittenFromItsBegin(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, dir)
		defer d.close(t)
		for range 100 {
			d.Info("before")
		}
		must(t, os.Truncate(d.path, 0))
		d.Info("after")
		time.Sleep(2 * time.Second)
		d.Info("later")
		d.mustHold(t, d.path, "msg=after", "msg=later")
		raw, err := os.ReadFile(d.path)
		must(t, err)
		if bytes.Contains(raw, []byte{0}) || bytes.Contains(raw, []byte("before")) {
			t.Errorf("the log holds %q", raw)
		}
	})
}
