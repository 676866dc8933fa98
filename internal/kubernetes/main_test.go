package kubernetes

import (
	"testing"

	"oracle-focus-agent/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }
