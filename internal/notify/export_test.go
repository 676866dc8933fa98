package notify

import "net/http"

// TestingOnlyStart is New with another way to the hosts than the network.
func TestingOnlyStart(o Options, network http.RoundTripper) (*Notifier, error) {
	return start(o, network)
}

// TestingOnlyRetryAfter is the pause that an error asks for.
var TestingOnlyRetryAfter = retryAfter

// TestingOnlyTransport is that of New.
var TestingOnlyTransport = newTransport
