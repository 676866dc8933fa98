//go:build race

package cli_test

// underRace: the race detector makes every request several times as dear.
const underRace = true
