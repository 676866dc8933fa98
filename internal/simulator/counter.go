package simulator

import (
	"maps"
	"sync"
)

// counter counts by name. The zero value is ready.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

// add counts one and returns the new count.
func (c *counter) add(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[name]++
	return c.counts[name]
}

// snapshot leaves out the nameless count, which numbers the requests.
func (c *counter) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := maps.Clone(c.counts)
	if counts == nil {
		counts = map[string]int{}
	}
	delete(counts, "")
	return counts
}
