package eventlog

import (
	"github.com/acitap/acitap/apic"
)

// A cursor finds ids in the direction of a read, from the indexes alone.
type cursor interface {
	// next returns the first id at or beyond a place, 0 when there is none.
	// Places only go on in the direction of the read.
	next(at apic.ID) (apic.ID, error)
}

// A union has the ids of any of its cursors.
type union []cursor

func (u union) next(at apic.ID) (apic.ID, error) {
	var best apic.ID
	for _, c := range u {
		id, err := c.next(at)
		if err != nil {
			return 0, err
		}
		if id != 0 && (best == 0 || distance(id, at) < distance(best, at)) {
			best = id
		}
	}
	return best, nil
}

func distance(a, b apic.ID) apic.ID { return max(a-b, b-a) }

// An intersection has the ids that all of its cursors have. Each leaps to
// where the others are, so that it costs no more than the rarest of them.
type intersection []cursor

func (s intersection) next(at apic.ID) (apic.ID, error) {
	for agreed := 0; ; {
		for _, c := range s {
			id, err := c.next(at)
			if err != nil || id == 0 {
				return 0, err
			}
			if id == at {
				if agreed++; agreed >= len(s) {
					return at, nil
				}
				continue
			}
			at, agreed = id, 1
		}
	}
}

// The indexes of entries by a word.
const (
	byClass  = "class"
	byTenant = "tenant"
	byNode   = "node"
)

// sqlKeyed returns the query of one key of an index in one direction.
func sqlKeyed(index string, desc bool) string {
	q := "SELECT id FROM entries INDEXED BY entries_" + index + " WHERE " + index + " = ? AND id >= ? AND id <= ? ORDER BY id"
	if desc {
		q += " DESC"
	}
	return q + " LIMIT ?"
}

// A keyed cursor has the ids under one key of an index.
type keyed struct {
	search *search
	query  string
	key    int64
	ids    []apic.ID // read ahead
	used   int
	size   int64 // of the next reading ahead: grows while all that was read is used
	end    bool  // nothing lies beyond ids
}

func (s *search) keyed(index string, key int64) *keyed {
	return &keyed{search: s, query: sqlKeyed(index, s.r.Desc), key: key, size: 4}
}

func (k *keyed) next(at apic.ID) (apic.ID, error) {
	started := k.used
	for k.used < len(k.ids) && before(k.ids[k.used], at, k.search.r.Desc) {
		k.used++
	}
	if k.used < len(k.ids) {
		return k.ids[k.used], nil
	}
	if k.end {
		return 0, nil
	}
	if k.used-started <= 1 {
		k.size = min(2*k.size, pageEntries)
	} else { // it was a leap
		k.size = 4
	}
	low, high := at, k.search.r.Until
	if k.search.r.Desc {
		low, high = k.search.r.After+1, at
	}
	k.ids, k.used = k.ids[:0], 0
	err := k.search.conn.each(func(st *stmt) error {
		k.ids = append(k.ids, apic.ID(st.ColumnInt64(0)))
		return nil
	}, k.query, k.key, int64(low), int64(high), k.size)
	k.end = int64(len(k.ids)) < k.size
	if err != nil || len(k.ids) == 0 {
		return 0, err
	}
	return k.ids[0], nil
}

func before(id, at apic.ID, desc bool) bool {
	if desc {
		return id > at
	}
	return id < at
}

const (
	sqlMark = "SELECT id FROM entries INDEXED BY entries_mark WHERE mark = 1 AND object = ? AND id >= ? ORDER BY id LIMIT 1"
	sqlPrev = "SELECT prev FROM entries WHERE id = ?"
)

// A chain has the ids of one object. Every entry names the one before it of
// its object, and every 64th is in an index: a walk begins at the next of
// these, or at the newest entry, and goes back. That makes the history of an
// object as cheap as an index on it would, without the page that such an
// index costs an event when objects change in no order.
type chain struct {
	search *search
	head   *head
	block  []apic.ID // ids in the direction of the read
	used   int
	from   apic.ID // backwards: where the walk goes on, 0 for its end
	begun  bool
}

func (s *search) chain(h *head) *chain { return &chain{search: s, head: h} }

func (c *chain) next(at apic.ID) (apic.ID, error) {
	if c.search.r.Desc {
		return c.back(at)
	}
	return c.forth(at)
}

// start returns where a walk to the ids up to a place begins.
func (c *chain) start(at apic.ID) (apic.ID, error) {
	if apic.ID(c.head.last) <= at {
		return apic.ID(c.head.last), nil
	}
	mark, err := c.search.conn.number(sqlMark, c.head.number, int64(at))
	if err != nil || mark == 0 {
		return apic.ID(c.head.last), err
	}
	return apic.ID(mark), nil
}

func (c *chain) back(at apic.ID) (apic.ID, error) {
	if !c.begun {
		from, err := c.start(at)
		if err != nil {
			return 0, err
		}
		c.from, c.begun = from, true
	}
	for c.from > at {
		prev, err := c.search.conn.number(sqlPrev, int64(c.from))
		if err != nil {
			return 0, err
		}
		c.from = apic.ID(prev)
	}
	if c.from <= c.search.r.After {
		c.from = 0
	}
	return c.from, nil
}

func (c *chain) forth(at apic.ID) (apic.ID, error) {
	for c.used < len(c.block) && c.block[c.used] < at {
		c.used++
	}
	if c.used < len(c.block) {
		return c.block[c.used], nil
	}
	if at > apic.ID(c.head.last) {
		return 0, nil
	}
	// The walk from the next mark back to the place is the next block. Its
	// mark lies at or beyond the place, so that there is one.
	id, err := c.start(at)
	c.block, c.used = c.block[:0], 0
	for err == nil && id >= at {
		if id <= c.search.r.Until {
			c.block = append(c.block, id)
		}
		var prev int64
		prev, err = c.search.conn.number(sqlPrev, int64(id))
		id = apic.ID(prev)
	}
	if err != nil || len(c.block) == 0 {
		return 0, err
	}
	for i, j := 0, len(c.block)-1; i < j; i, j = i+1, j-1 {
		c.block[i], c.block[j] = c.block[j], c.block[i]
	}
	return c.block[0], nil
}
