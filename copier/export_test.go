package copier

// Turns is how many inspections compute at once.
func (i *Inspection) Turns() int { return i.turns.limit }
