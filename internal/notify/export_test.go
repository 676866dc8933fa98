package notify

import "net/http"

// TestingOnlyStart is New with another way to the hosts than the network.
func TestingOnlyStart(o Options, network http.RoundTripper) (*Notifier, error) {
	return start(o, network)
}

// TestingOnlyTransport is that of New.
var TestingOnlyTransport = newTransport
