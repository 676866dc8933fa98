package chaos

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A proxy stands between one process and the NATS server. It writes down what passes,
// and can cut the line, hold it, or make it slow.
type proxy struct {
	listener net.Listener
	server   string // address
	wire     *wire

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool
	held  chan struct{} // closed when a hold ends; nil while there is none
	delay time.Duration // for each piece
	work  sync.WaitGroup
}

func (w *World) newProxy(process string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, server: w.server.address(), wire: newWire(w, process), conns: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		cut := p.cut
		p.mu.Unlock()
		server, err := net.Dial("tcp", p.server)
		if err != nil || cut {
			reset(client)
			if server != nil {
				server.Close()
			}
			continue
		}
		p.join(client, server)
	}
}

// join passes bytes on in both directions until one end is gone.
func (p *proxy) join(client, server net.Conn) {
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	line := p.wire.connection()
	end := sync.OnceFunc(func() {
		p.mu.Lock()
		delete(p.conns, client)
		delete(p.conns, server)
		p.mu.Unlock()
		reset(client)
		server.Close()
	})
	p.work.Go(func() { defer end(); p.pass(server, client, line.said) })
	p.work.Go(func() { defer end(); p.pass(client, server, line.heard) })
}

// pass writes down before it passes on, so that in the history no answer precedes its
// question and no deed what it relies on.
func (p *proxy) pass(to, from net.Conn, note func([]byte)) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.wait()
			note(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) wait() {
	p.mu.Lock()
	held, delay := p.held, p.delay
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	if delay > 0 {
		time.Sleep(delay)
	}
}

// partition cuts all connections and takes no others until heal.
func (p *proxy) partition() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		reset(c)
	}
}

// hold lets nothing pass until heal; both ends believe that they are connected.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

// slow delays each piece.
func (p *proxy) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// heal ends all that was done to the line.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.delay = false, 0
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// close ends the proxy; a nil one is none.
func (p *proxy) close() {
	if p == nil {
		return
	}
	err := p.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return
	}
	p.heal()
	p.partition()
	p.work.Wait()
}

// reset ends a connection as a crash does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
