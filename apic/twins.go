package apic

import (
	"hash/maphash"
	"time"
)

// twins makes one stream out of two while one session takes over from another
// before its end of life: both tell the same changes, each in its own time.
// Of one object both tell the same sequence, so a change that the other one
// has told already is the other's earliest unmatched one that is equal. It is
// owned by apply.
type twins struct {
	until time.Time // zero: there is one session only
	seed  maphash.Seed
	logs  map[DN]map[*conn][]uint64 // told through one session, not yet seen through the other
}

// open begins the comparison of two sessions; it ends lingerFor after close.
func (t *twins) open() {
	t.until = time.Now().Add(24 * time.Hour)
	t.seed = maphash.MakeSeed()
	t.logs = make(map[DN]map[*conn][]uint64)
}

// lingerFor is how long after the end of the older session the newer one may
// still repeat what the older one told.
const lingerFor = 30 * time.Second

func (t *twins) close() { t.until = time.Now().Add(lingerFor) }

func (t *twins) tick(now time.Time) {
	if !t.until.IsZero() && now.After(t.until) {
		t.until, t.logs = time.Time{}, nil
	}
}

// told reports whether the other session has told the change already, and
// notes it if not.
func (t *twins) told(c *conn, m mo) bool {
	if t.logs == nil {
		return false
	}
	sum := maphash.Comparable(t.seed, m)
	logs := t.logs[m.dn]
	for other, log := range logs {
		if other == c {
			continue
		}
		for i, s := range log {
			if s == sum {
				logs[other] = log[i+1:]
				return true
			}
		}
	}
	if logs == nil {
		logs = make(map[*conn][]uint64)
		t.logs[m.dn] = logs
	}
	logs[c] = append(logs[c], sum)
	return false
}

// touched reports whether either session has told of an object since open.
func (t *twins) touched(dn DN) bool { return t.logs[dn] != nil }
