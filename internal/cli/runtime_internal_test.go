package cli

import (
	"io"
	"runtime"
	"testing"
)

// TestTheQueueInTheProcessHasAProcessorToWaitOn: one, however often the configuration is
// read; none where the queue is elsewhere, the environment says how many there are, or the
// process is not the command's own.
func TestTheQueueInTheProcessHasAProcessorToWaitOn(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	runtime.SetDefaultGOMAXPROCS()
	n := runtime.GOMAXPROCS(0)
	minimal := []string{
		"FOCUS_OCI_BUCKET=ocid1.tenancy.oc1..aaaaexample", "FOCUS_OCI_REGION=eu-frankfurt-1", "FOCUS_S3_BUCKET_PATH=s3://bucket/organization/customer/account", "FOCUS_STATE_DIR=" + t.TempDir(),
	}
	for _, c := range []struct {
		name  string
		alone bool
		more  string
		want  int
	}{
		{"not alone", false, "A=b", n},
		{"a queue elsewhere", true, "FOCUS_NATS_URL=nats://127.0.0.1:4222", n},
		{"by the environment", true, "GOMAXPROCS=7", n},
		{"alone", true, "A=b", n + 1},
	} {
		runtime.GOMAXPROCS(n)
		a := &app{env: Env{Environ: append(minimal[:len(minimal):len(minimal)], c.more, "GOMEMLIMIT=off"), Alone: c.alone, Stderr: io.Discard}}
		for range 2 {
			if _, _, err := a.load(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
