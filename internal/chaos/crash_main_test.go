package chaos_test

import (
	"os"
	"sync"
	"testing"
)

// workshop is a directory for programs and keys that all tests share; it goes with them.
var workshop = sync.OnceValues(func() (dir string, err error) { return os.MkdirTemp("", "chaos-tests") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := workshop(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}
