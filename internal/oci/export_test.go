package oci

import "time"

// TestingOnlyPauses shortens the pauses between the attempts of a listing.
func (c *Client) TestingOnlyPauses(d ...time.Duration) { c.pauses = d }

// TestingOnlyUnanswered explains an error without an answer.
var TestingOnlyUnanswered = unanswered
