//go:build linux && race

package fanout_test

const raceEnabled = true
