package nats_test

import (
	"testing"

	"oracle-focus-agent/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }
