package oci

import (
	"context"
	"io"
	"time"
)

// TestingOnlyBody watches a body as it does those of answers.
func TestingOnlyBody(rc io.ReadCloser, stall time.Duration, cancel context.CancelFunc) io.ReadCloser {
	return newBody(rc, stall, cancel)
}
