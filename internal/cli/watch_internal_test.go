package cli

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Without a terminal a line comes every ten seconds, none where there is nothing to say,
// and none after the end.
func TestWorkElsewhereIsToldEveryTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		a := &app{env: Env{Stderr: &out}}
		looks := 0
		end := a.watch(9, func(context.Context) (int64, string) {
			looks++
			if looks == 2 {
				return 0, ""
			}
			return int64(looks), fmt.Sprintf("%d of 9", looks)
		})
		time.Sleep(35 * time.Second)
		end()
		time.Sleep(time.Minute)
		if got := out.String(); got != "progress: 1 of 9\nprogress: 3 of 9\n" {
			t.Errorf("after %d looks: %q", looks, got)
		}
	})
}

func TestNothingIsToldWhenQuiet(t *testing.T) {
	t.Parallel()
	a := &app{quiet: true}
	a.watch(9, func(context.Context) (int64, string) { panic("nobody wants to know") })()
}
