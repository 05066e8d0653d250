package eventlog

import (
	"context"
	"time"

	"github.com/acitap/acitap/apic"
)

const (
	// stepEntries is how many entries retention takes in one transaction,
	// which holds the writer for some ten milliseconds.
	stepEntries = 2000
	// stepPause leaves the writer to events between two of them.
	stepPause = 50 * time.Millisecond
)

// retain removes what is too old or too much, in small steps.
func (l *Log) retain(ctx context.Context) error {
	for {
		upTo, err := l.overdue(ctx)
		if err != nil || upTo == 0 {
			return err
		}
		if err := l.step(ctx, upTo); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(stepPause):
		}
	}
}

// overdue returns the id up to which the next step removes, 0 for nothing.
func (l *Log) overdue(ctx context.Context) (upTo apic.ID, err error) {
	err = l.view(ctx, func(c *conn) error {
		floor, err := c.number("SELECT floor FROM log")
		if err != nil {
			return err
		}
		pages, err := c.number("PRAGMA page_count")
		if err != nil {
			return err
		}
		free, err := c.number("PRAGMA freelist_count")
		if err != nil {
			return err
		}
		size, err := c.number("PRAGMA page_size")
		if err != nil {
			return err
		}
		l.used.Store((pages - free) * size)
		var limit apic.ID
		count := int64(stepEntries)
		if used := l.used.Load(); l.bytes > 0 && used > l.bytes {
			limit = apic.MaxID
			// About as many as are too much, if all are of one size.
			held := float64(l.Bounds().Newest) - float64(floor)
			count = max(1, min(count, int64(held*float64(used-l.bytes)/float64(used))))
		} else if l.retention > 0 {
			if limit, err = idAt(c, l.now().Add(-l.retention)); err != nil {
				return err
			}
		}
		if limit <= apic.ID(floor) {
			return nil
		}
		id, err := c.number("SELECT max(id) FROM (SELECT id FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)", floor, int64(limit), count)
		upTo = apic.ID(id)
		return err
	})
	return upTo, err
}

// step removes the entries up to an id in one transaction. Objects stay as
// they are: attributes that only a removed entry holds are kept apart.
func (l *Log) step(ctx context.Context, upTo apic.ID) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.letGo()
	removed := int64(0)
	err := l.transact(func(w *writer) error {
		if err := l.rescue(w, upTo); err != nil {
			return err
		}
		if err := w.run("DELETE FROM entries WHERE id <= ?", int64(upTo)); err != nil {
			return err
		}
		removed = w.Changes()
		if err := w.run("DELETE FROM marks WHERE id <= ?", int64(upTo)); err != nil {
			return err
		}
		return w.run("UPDATE log SET floor = ?", int64(upTo))
	})
	if err != nil {
		return err
	}
	l.w.floor = int64(upTo)
	bounds := *l.bounds.Load()
	bounds.Floor = upTo
	bounds.Newest = max(bounds.Newest, upTo)
	l.bounds.Store(&bounds)
	l.metrics.removed.Add(float64(removed))
	return nil
}

const (
	sqlHeld = `SELECT e.id, e.time, e.status, e.origin, e.class, e.object, e.shape, e.whole, e.json, h.last
FROM entries e JOIN heads h ON h.object = e.object
WHERE e.id > ? AND e.id <= ? AND (h.state = e.id OR h.state = 1 AND h.last = e.id)`
	sqlEnded = `SELECT DISTINCT o.dn, w.text FROM entries e JOIN heads h ON h.object = e.object
JOIN words w ON w.text = json_extract(e.json, '$.fabric') JOIN objects o ON o.dn = json_extract(e.json, '$.dn') AND o.fabric = w.word
WHERE e.id > ? AND e.id <= ? AND h.state IS NULL AND h.last <= ?`
)

// rescue keeps the attributes of objects that stand in the entries to be
// removed, and forgets the objects that are gone and that no other entry tells
// of.
func (l *Log) rescue(w *writer, upTo apic.ID) error {
	type held struct {
		object, class, last int64
		key                 apic.ObjectKey
		attrs               apic.Attrs
	}
	var list []held
	err := w.each(func(st *stmt) error {
		e, err := l.entry(w.conn, st)
		if err != nil {
			return err
		}
		list = append(list, held{
			object: st.ColumnInt64(5), class: st.ColumnInt64(4), last: st.ColumnInt64(9),
			key: apic.ObjectKey{Fabric: e.Event.Fabric, DN: e.Event.DN}, attrs: e.Event.Object,
		})
		return nil
	}, sqlHeld, w.floor, int64(upTo))
	if err != nil {
		return err
	}
	for _, h := range list {
		if err := w.keep(h.object, h.class, h.last, h.attrs); err != nil {
			return err
		}
		if err := w.run("UPDATE heads SET state = ? WHERE object = ?", int64(stateKept), h.object); err != nil {
			return err
		}
		if o, err := w.known(h.key); err != nil {
			return err
		} else if o != nil {
			o.state = stateKept
		}
	}
	var ended []apic.ObjectKey
	err = w.each(func(st *stmt) error {
		ended = append(ended, apic.ObjectKey{Fabric: st.ColumnText(1), DN: apic.DN(st.ColumnText(0))})
		return nil
	}, sqlEnded, w.floor, int64(upTo), int64(upTo))
	if err != nil {
		return err
	}
	for _, k := range ended {
		o, err := w.known(k)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if err := w.erase(k, o); err != nil {
			return err
		}
	}
	return nil
}
