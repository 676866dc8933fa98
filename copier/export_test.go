package copier

// Turns is how many inspections compute at once.
func (i *Inspection) Turns() int { return i.turns.limit }

// SetLeastPart makes parts smaller than those of S3.
func (c *Copier) SetLeastPart(n int64) { c.leastPart = n }
