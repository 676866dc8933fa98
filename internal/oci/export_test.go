package oci

import (
	"net/http"
	"time"
)

// TestingOnlyPauses shortens the pauses between the attempts of a listing.
func (c *Client) TestingOnlyPauses(d ...time.Duration) { c.pauses = d }

// TestingOnlyTransport takes the place of the network.
func (c *Client) TestingOnlyTransport(t http.RoundTripper) { c.http.client.Transport = t }

// TestingOnlyUnanswered explains an error without an answer.
var TestingOnlyUnanswered = unanswered
