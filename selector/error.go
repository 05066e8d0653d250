package selector

import (
	"errors"
	"fmt"
	"strings"
)

// An Error is one mistake in what a caller wrote.
type Error struct {
	Param  string // the parameter, as "filter" or "attr.severity"
	Line   int    // in the filter, from 1; 0 for other parameters
	Column int    // in characters from 1; 0 for other parameters
	Detail string // a sentence: what is wrong and what to write instead
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s: line %d, column %d: %s", e.Param, e.Line, e.Column, e.Detail)
	}
	return e.Param + ": " + e.Detail
}

// Errors returns the mistakes inside an error of this package, in the order in
// which they were found; nil when there are none.
func Errors(err error) []*Error {
	switch e := any(err).(type) { // the tree of errors is walked here, link by link
	case nil:
		return nil
	case *Error:
		return []*Error{e}
	case interface{ Unwrap() []error }:
		var list []*Error
		for _, inner := range e.Unwrap() {
			list = append(list, Errors(inner)...)
		}
		return list
	}
	return Errors(errors.Unwrap(err))
}

// nearest returns the word that s is most likely a slip of, "" when none is
// near.
func nearest(s string, words []string) string {
	best, distance := "", len(s)/3+1
	for _, w := range words {
		if strings.EqualFold(s, w) {
			return w
		}
		if d := edits(s, w); d <= distance && d < max(len(s), len(w)) {
			if d < distance || best == "" {
				best, distance = w, d
			}
		}
	}
	return best
}

// edits counts the letters to change, add or remove to make b of a.
func edits(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// listed joins words for a sentence.
func listed[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}
