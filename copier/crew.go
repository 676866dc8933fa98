package copier

import "sync"

// A crew is the slots of a copier, numbered from 0. A hand asks before it takes a
// message, so that a smaller crew interrupts no copy and leaves no message behind.
type crew struct {
	mu    sync.Mutex
	size  int
	slots []*slot // that there ever were
}

// resize returns the hands that are missing, which the caller starts. A slot that was one
// too many, and whose copies are not over, goes on with them.
func (c *crew) resize(size int) (missing []*hand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = size
	for n := range size {
		if n == len(c.slots) {
			c.slots = append(c.slots, newSlot(n))
		}
		s := c.slots[n]
		for i, atWork := range s.atWork {
			if !atWork {
				s.atWork[i] = true
				missing = append(missing, &hand{slot: s, index: i})
			}
		}
	}
	return missing
}

// ask tells whether the hand goes on and may take from the backfill lane: with two
// or more slots one never does. A hand that does not stay must end.
func (c *crew) ask(h *hand) (backfill, stays bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.number >= c.size {
		h.atWork[h.index] = false
		return false, false
	}
	return h.number > 0 || c.size == 1, true
}
