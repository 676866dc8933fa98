package web

// Days takes how many report days stand in each state after a complete scan.
func (m *Metrics) Days(states map[string]int) {
	for state, n := range states {
		m.scans.days.WithLabelValues(state).Set(float64(n))
	}
}
