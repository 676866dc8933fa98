package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// A line is a slow way to a server: every byte is on its way for half a round trip, and
// each connection carries so many bytes per second in each direction. A connection is
// there after one round trip more, as with TCP; what TCP does not carry at once when a
// connection is young, and what it loses, is not played.
type line struct {
	listener net.Listener
	server   string // address
	rtt      time.Duration
	rate     int64

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
	work   sync.WaitGroup
}

// newLine listens on a free port of this machine and leads to a server.
func newLine(server string, rtt time.Duration, rate int64) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen in front of %s: %w", server, err)
	}
	l := &line{listener: listener, server: server, rtt: rtt, rate: rate, conns: map[net.Conn]bool{}}
	l.work.Go(l.accept)
	return l, nil
}

func (l *line) address() string { return l.listener.Addr().String() }

// close breaks all connections, and returns when nothing is at work any more.
func (l *line) close() {
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.work.Wait()
}

func (l *line) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil {
			client.Close()
			continue
		}
		l.join(client, server)
	}
}

func (l *line) join(client, server net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		client.Close()
		server.Close()
		return
	}
	l.conns[client], l.conns[server] = true, true
	open := time.Now()
	end := sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, client)
		delete(l.conns, server)
		client.Close()
		server.Close()
	})
	l.work.Go(func() { l.carry(server, client, open.Add(l.rtt), end) })
	l.work.Go(func() { l.carry(client, server, open, end) })
}

// piece is bytes that are due at a time.
type piece struct {
	data []byte
	due  time.Time
}

// ready is how long a read takes at most that finds bytes. Those have waited for the line,
// and follow what went before them, even if this process woke up late: on a busy machine of
// two cores 20 MB went at 4.5 to 6.4 MB/s where that was not so, and at 9.2 where it is, of 10.
const ready = 100 * time.Microsecond

// carry moves bytes in one direction. The line is free for them from a time on, and
// after them again when they have left at the line's rate.
func (l *line) carry(to, from net.Conn, free time.Time, end func()) {
	way := make(chan piece, 256) // more than the line holds
	l.work.Go(func() { deliver(to, way, end) })
	defer close(way)
	for {
		buffer := make([]byte, 16<<10)
		asked := time.Now()
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if now := time.Now(); free.Before(now) && now.Sub(asked) > ready {
			free = now
		}
		free = free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
		way <- piece{buffer[:n], free.Add(l.rtt / 2)}
		time.Sleep(time.Until(free))
	}
}

// deliver hands pieces over when they are due, and ends both connections after the last
// one. It takes all of them, also those that nobody wants any more.
func deliver(to net.Conn, way <-chan piece, end func()) {
	defer end()
	var gone error
	for p := range way {
		if gone != nil {
			continue
		}
		time.Sleep(time.Until(p.due))
		if _, gone = to.Write(p.data); gone != nil {
			end()
		}
	}
}
