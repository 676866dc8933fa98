package copier

import "sync"

// A crew is the slots of a copier, numbered from 0. A slot asks before it takes a
// message, so that a smaller crew interrupts no copy and leaves no message behind.
type crew struct {
	mu     sync.Mutex
	size   int
	atWork map[int]bool
}

// resize returns the numbers of the slots that are missing, which the caller starts.
func (c *crew) resize(size int) (missing []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.atWork == nil {
		c.atWork = map[int]bool{}
	}
	c.size = size
	for n := range size {
		if !c.atWork[n] {
			c.atWork[n] = true
			missing = append(missing, n)
		}
	}
	return missing
}

// ask tells whether the slot goes on and may take from the backfill lane: with two
// or more slots one never does. A slot that does not stay must end.
func (c *crew) ask(number int) (backfill, stays bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number >= c.size {
		delete(c.atWork, number)
		return false, false
	}
	return number > 0 || c.size == 1, true
}
