//go:build !failpoints

package cli

import (
	"oracle-focus-agent/copier"
	"oracle-focus-agent/scanner"
)

// The points of the crash matrix stand in failpoints_on.go; there are none here.

func (r *route) withPoints(c *copier.Copier) *copier.Copier { return c }

func (r *route) scannerWithPoints(s scanner.Scanner) scanner.Scanner { return s }
