//go:build race

package webhook_test

// underRace says that the race detector watches, for which a test may do less
// of the same.
const underRace = true
