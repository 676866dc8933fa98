package s3

import (
	"net/http"
	"time"
)

// TestingOnlyPauses shortens the pauses between the attempts of a call.
func (c *Client) TestingOnlyPauses(d ...time.Duration) { c.pauses = d }

// TestingOnlyTransport takes the place of the network.
func (c *Client) TestingOnlyTransport(t http.RoundTripper) {
	c.http.Transport, c.patient.Transport = t, t
}

// Sum is the CRC32C of b as S3 writes it.
var Sum = sum
