package eventlog

import (
	"slices"

	"github.com/acitap/acitap/apic"
)

// A cursor finds ids in the direction of a read, from the chains alone.
type cursor interface {
	// next returns the first id at or beyond a place, 0 when there is none.
	// Places only go on in the direction of the read.
	next(at apic.ID) (apic.ID, error)
}

// A union has the ids of any of its cursors.
type union []cursor

func (u union) next(at apic.ID) (best apic.ID, err error) {
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

// What entries can be found by.
const (
	byClass  = "class"
	byTenant = "tenant"
	byNode   = "node"
	byObject = "object"
)

// sqlMark finds the next mark of a chain at or behind a place, sqlPrev the
// entry before one.
const sqlMark = "SELECT id, nth FROM marks WHERE kind = ? AND key = ? AND id >= ? ORDER BY id LIMIT 1"

var sqlPrev = map[string]string{
	byClass:  "SELECT prevOfClass FROM entries WHERE id = ?",
	byObject: "SELECT prevOfObject FROM entries WHERE id = ?",
	byTenant: "SELECT prevOfTenant FROM entries WHERE id = ?",
	byNode:   "SELECT prevOfNode FROM entries WHERE id = ?",
}

// A chain has the ids of one class, object, tenant or node. Every entry names
// the one before it in each, and every 64th is marked: a walk begins at the
// next of these, or at the newest entry, and goes back. That makes a history as
// cheap as an index would, without the page that such an index costs for every
// class, object, tenant and node that a batch tells of.
type chain struct {
	search *search
	kind   string
	key    int64
	last   apic.ID   // the newest entry
	block  []apic.ID // forwards: ids read ahead
	used   int
	at     apic.ID // backwards: where the walk stands, 0 for its end
	begun  bool
}

func (c *chain) next(at apic.ID) (apic.ID, error) {
	if _, ok := c.search.seen[c.key]; ok && c.kind == byObject {
		return 0, nil
	}
	if c.search.r.Desc {
		return c.back(at)
	}
	return c.forth(at)
}

// start returns where a walk to the ids up to a place begins.
func (c *chain) start(at apic.ID) (apic.ID, error) {
	if c.last <= at {
		return c.last, nil
	}
	mark, err := c.search.conn.number(sqlMark, c.kind, c.key, int64(at))
	if err != nil || mark == 0 {
		return c.last, err
	}
	return apic.ID(mark), nil
}

func (c *chain) prev(id apic.ID) (apic.ID, error) {
	c.search.rows++
	prev, err := c.search.conn.number(sqlPrev[c.kind], int64(id))
	return apic.ID(prev), err
}

func (c *chain) back(at apic.ID) (apic.ID, error) {
	var err error
	// A walk beyond the next mark begins anew there: this was a leap.
	for steps := 0; err == nil && (!c.begun || c.at > at); steps++ {
		if !c.begun || steps == markEvery {
			c.begun = true
			var from apic.ID
			if from, err = c.start(at); c.at == 0 || from < c.at {
				c.at = from
			}
			continue
		}
		c.at, err = c.prev(c.at)
	}
	if c.at <= c.search.r.After {
		c.at = 0
	}
	return c.at, err
}

func (c *chain) forth(at apic.ID) (apic.ID, error) {
	for c.used < len(c.block) && c.block[c.used] < at {
		c.used++
	}
	if c.used < len(c.block) {
		return c.block[c.used], nil
	}
	if at > c.last {
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
		id, err = c.prev(id)
	}
	if err != nil || len(c.block) == 0 {
		return 0, err
	}
	slices.Reverse(c.block)
	return c.block[0], nil
}
