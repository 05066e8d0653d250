package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/acitap/acitap/apic"
)

type stmt = sqlite3.Stmt

const (
	// A read is done page by page, each in a short transaction of its own, so
	// that somebody who reads slowly holds no connection and no part of the
	// write-ahead log. A page ends at whichever of these comes first.
	pageEntries = 512
	pageBytes   = 1 << 20
	pageRows    = 8192 // looked at

	// maxChains is how many objects are followed one by one when a DN, a
	// subtree, or a class of a tenant or node is asked for; beyond it the
	// tenant, node or class is read and sieved.
	maxChains = 256
)

// view runs f in a read transaction on a connection of its own.
func (l *Log) view(ctx context.Context, f func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	var ok bool
	select {
	case c, ok = <-l.readers:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !ok {
		return ErrClosed
	}
	defer func() { l.readers <- c }()
	if c == nil {
		var err error
		if c, err = openConn(l.path, sqlite3.OPEN_READWRITE, "PRAGMA query_only = on; PRAGMA cache_size = -4000"); err != nil {
			return err
		}
		if err := c.WALAutoCheckpoint(0); err != nil {
			return err
		}
	}
	if err := c.run("BEGIN"); err != nil {
		return err
	}
	err := f(c)
	if end := c.run("COMMIT"); err == nil {
		err = end
	}
	c.rollback()
	return err
}

// Read implements [apic.Journal].
func (l *Log) Read(ctx context.Context, r apic.Range) iter.Seq2[*apic.Entry, error] {
	return l.read(ctx, r, nil)
}

// FirstAfter implements [apic.Journal].
func (l *Log) FirstAfter(ctx context.Context, after apic.ID, n apic.Narrow) iter.Seq2[*apic.Entry, error] {
	n.Kinds = apic.EventsOnly
	return func(yield func(*apic.Entry, error) bool) {
		l.read(ctx, apic.Range{After: after, Narrow: n}, make(map[int64]struct{}))(yield)
	}
}

// read yields a range; with seen only the first entry of each object.
func (l *Log) read(ctx context.Context, r apic.Range, seen map[int64]struct{}) iter.Seq2[*apic.Entry, error] {
	return func(yield func(*apic.Entry, error) bool) {
		r := r // an iterator may be used twice
		b := l.Bounds()
		if err := b.Check(r.After); err != nil {
			yield(nil, err)
			return
		}
		if r.Until <= 0 || r.Until > b.Newest {
			r.Until = b.Newest
		}
		at := r.After // the last place that has been looked at
		if r.Desc {
			at = r.Until + 1
		}
		for given, more := 0, true; more; {
			limit := pageEntries
			if r.Limit > 0 {
				limit = min(limit, r.Limit-given)
			}
			s := search{log: l, r: r, at: at, limit: limit, seen: seen}
			if err := l.view(ctx, s.page); err != nil {
				if !errors.Is(err, apic.ErrGone) {
					err = fmt.Errorf("read the event log: %w", err)
				}
				yield(nil, err)
				return
			}
			for _, e := range s.found {
				if !yield(e, nil) {
					return
				}
			}
			given += len(s.found)
			at, more = s.at, !s.done && (r.Limit <= 0 || given < r.Limit)
			if err := ctx.Err(); more && err != nil {
				yield(nil, err)
				return
			}
			if r.Desc && s.done && s.gone != nil {
				yield(nil, s.gone)
				return
			}
		}
	}
}

// A search is one page of a read.
type search struct {
	log   *Log
	r     apic.Range
	limit int
	seen  map[int64]struct{}

	at    apic.ID // the last place that has been looked at
	found []*apic.Entry
	done  bool
	gone  *apic.GoneError // retention has taken the rest of a read backwards

	conn   *conn
	admits [3]map[int64]bool // words of status, origin, class; nil admits all
	rows   int
	bytes  int
}

const (
	rowColumns = "id, time, status, origin, class, object, shape, whole, json"

	sqlForward  = "SELECT " + rowColumns + " FROM entries WHERE id > ? AND id <= ? ORDER BY id"
	sqlBackward = "SELECT " + rowColumns + " FROM entries WHERE id < ? AND id > ? ORDER BY id DESC"
	sqlRow      = "SELECT " + rowColumns + " FROM entries WHERE id = ?"
)

// page fills found and moves at.
func (s *search) page(c *conn) error {
	s.conn = c
	floor, err := c.number("SELECT floor FROM log")
	if err != nil {
		return err
	}
	// Retention may have gone on since the read began. Forwards that is a hole
	// in it. Backwards there is one only behind the last entry.
	if gone := apic.ID(floor); !s.r.Desc && s.at < gone {
		return &apic.GoneError{Asked: s.at, Oldest: gone + 1, Reason: "retention"}
	} else if s.r.Desc && s.r.After < gone {
		s.gone = &apic.GoneError{Asked: s.r.After, Oldest: gone + 1, Reason: "retention"}
		s.r.After = gone
	}
	cur, none, err := s.plan()
	if err != nil {
		return err
	}
	if none || s.r.Desc && s.at <= s.r.After+1 || !s.r.Desc && s.at >= s.r.Until {
		s.done = true
		return nil
	}
	if cur == nil {
		return s.scan()
	}
	for !s.full() {
		step := apic.ID(1)
		if s.r.Desc {
			step = -1
		}
		id, err := cur.next(s.at + step)
		if err != nil {
			return err
		}
		if id == 0 {
			s.done = true
			return nil
		}
		if err := c.each(s.row, sqlRow, int64(id)); err != nil {
			return err
		}
		s.at = id
	}
	return nil
}

// scan reads the timeline itself.
func (s *search) scan() error {
	query, to := sqlForward, s.r.Until
	if s.r.Desc {
		query, to = sqlBackward, s.r.After
	}
	st, err := s.conn.query(query, int64(s.at), int64(to))
	if err != nil {
		return err
	}
	s.done = true
	for st.Step() {
		s.at = apic.ID(st.ColumnInt64(0))
		if err := s.row(st); err != nil {
			return errors.Join(err, st.Reset())
		}
		if s.full() {
			s.done = false
			break
		}
	}
	return errors.Join(st.Err(), st.Reset())
}

func (s *search) full() bool {
	return len(s.found) >= s.limit || s.bytes >= pageBytes || s.rows >= pageRows
}

// row takes an entry when it is admitted.
func (s *search) row(st *stmt) error {
	s.rows++
	gap := st.ColumnType(2) == sqlite3.NULL
	if s.r.Kinds == apic.EventsOnly && gap || s.r.Kinds == apic.GapsOnly && !gap {
		return nil
	}
	for i, words := range s.admits {
		if words != nil && !gap && !words[st.ColumnInt64(2+i)] {
			return nil
		}
	}
	object := st.ColumnInt64(5)
	if _, ok := s.seen[object]; ok {
		return nil
	}
	e, err := s.log.entry(s.conn, st)
	if err != nil {
		return err
	}
	if !s.r.Admits(e) {
		return nil
	}
	if s.seen != nil {
		s.seen[object] = struct{}{}
	}
	s.found = append(s.found, e)
	s.bytes += 2 * len(e.JSON)
	return nil
}

// entry decodes a row of rowColumns.
func (l *Log) entry(c *conn, st *stmt) (*apic.Entry, error) {
	e, err := decode(apic.ID(st.ColumnInt64(0)), st.ColumnInt64(1), append([]byte(nil), st.ColumnRawText(8)...))
	if err != nil || e.Event == nil || st.ColumnType(6) == sqlite3.NULL {
		return e, err
	}
	e.Event.Object, err = l.attributes(c, st.ColumnInt64(6), st.ColumnText(7), e.Event.Attributes)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.ID, err)
	}
	return e, nil
}

// attributes returns an object as shape and whole have it.
func (l *Log) attributes(c *conn, shape int64, values string, sent apic.Attrs) (apic.Attrs, error) {
	switch shape {
	case shapeSame:
		return sent, nil
	case shapeBare:
		return sent.Without(ofMessage), nil
	}
	names, err := l.shapes.get(c, shape)
	if err != nil {
		return apic.Attrs{}, err
	}
	return whole(names, values)
}

// plan finds the way to the entries: nil for the timeline itself. none says
// that there can be no such entry.
func (s *search) plan() (cur cursor, none bool, err error) {
	n := &s.r.Narrow
	for i, texts := range [][]string{texts(n.Statuses), texts(n.Origins), texts(n.Classes)} {
		if len(texts) == 0 {
			continue
		}
		words, err := s.words(texts)
		if err != nil {
			return nil, false, err
		}
		s.admits[i] = make(map[int64]bool)
		for _, w := range words {
			s.admits[i][w] = true
		}
	}
	var all union
	if n.Kinds != apic.EventsOnly {
		gaps, _, err := s.chain(byClass, 0)
		if err != nil {
			return nil, false, err
		}
		if gaps != nil {
			all = append(all, gaps)
		}
	}
	if n.Kinds != apic.GapsOnly {
		events, none, err := s.planEvents()
		if err != nil {
			return nil, false, err
		}
		if events == nil && !none {
			return nil, false, nil
		}
		if events != nil {
			all = append(all, events)
		}
	}
	switch len(all) {
	case 0:
		return nil, true, nil
	case 1:
		return all[0], false, nil
	}
	return all, false, nil
}

// planEvents finds the way to the events: nil for all of them, unless there
// can be none.
func (s *search) planEvents() (cur cursor, none bool, err error) {
	n := &s.r.Narrow
	tenants, nodes := n.Tenants, n.Nodes
	if len(n.DNs)+len(n.Below) > 0 {
		objects, few, err := s.objects()
		if err != nil {
			return nil, false, err
		}
		if few {
			return objects, len(objects) == 0, nil
		}
		// Too many to follow: but all below a tenant or a node are known to
		// be in it.
		if len(tenants) == 0 {
			tenants = s.common("tenant")
		}
		if len(nodes) == 0 {
			nodes = s.common("node")
		}
	}
	ways := []struct {
		by    string
		texts []string
		words []int64
	}{{by: byTenant, texts: tenants}, {by: byNode, texts: nodes}, {by: byClass, texts: texts(n.Classes)}}
	for i := range ways {
		w := &ways[i]
		if w.words, err = s.words(w.texts); err != nil {
			return nil, false, err
		}
		if len(w.texts) > 0 && len(w.words) == 0 {
			return nil, true, nil
		}
	}
	// A class has few objects in a tenant or node, as a rule, or none.
	classes := ways[2].words
	for _, w := range ways[:2] {
		if len(w.words) == 0 || len(classes) == 0 {
			continue
		}
		objects, few, err := s.objectsOf(w.by, w.words, classes)
		if err != nil {
			return nil, false, err
		}
		if few {
			return objects, len(objects) == 0, nil
		}
	}
	// Else the narrowest of the ways is gone, and what is on it sieved.
	var fewest int64
	for _, way := range ways {
		if len(way.words) == 0 {
			continue
		}
		var chains union
		var total int64
		for _, w := range way.words {
			c, count, err := s.chain(way.by, w)
			if err != nil {
				return nil, false, err
			}
			if c != nil {
				chains = append(chains, c)
				total += count
			}
		}
		if len(chains) == 0 {
			return nil, true, nil
		}
		if cur == nil || total < fewest {
			cur, fewest = chains, total
		}
	}
	return cur, false, nil
}

// chain returns the way along the entries of a class, tenant or node and how
// many the log has had, nil when there is none in the range.
func (s *search) chain(kind string, word int64) (c *chain, count int64, err error) {
	var last int64
	_, err = s.conn.row(func(st *stmt) { last, count = st.ColumnInt64(0), st.ColumnInt64(1) },
		"SELECT last, count FROM places WHERE kind = ? AND word = ?", kind, word)
	if err != nil || apic.ID(last) <= s.r.After {
		return nil, 0, err
	}
	return &chain{search: s, kind: kind, key: word, last: apic.ID(last)}, count, nil
}

// common returns the places of a kind that the DNs asked for are in, nil when
// one of them is in none.
func (s *search) common(kind string) []string {
	var names []string
	for _, dn := range slices.Concat(s.r.DNs, s.r.Below) {
		name := dn.Path().Get(kind)
		if name == "" {
			return nil
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func texts[T ~string](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// words returns the numbers of those names that occur in the log, each once.
func (s *search) words(texts []string) ([]int64, error) {
	var words []int64
	for _, t := range texts {
		w, err := s.conn.number("SELECT word FROM words WHERE text = ?", t)
		if err != nil {
			return nil, err
		}
		if w != 0 && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words, nil
}

const (
	sqlObject = "SELECT o.object, h.last FROM objects o JOIN heads h ON h.object = o.object WHERE o.dn = ?"
	sqlBelow  = "SELECT o.object, h.last FROM objects o JOIN heads h ON h.object = o.object WHERE o.dn > ? AND o.dn < ?"
)

// objects returns the ways along the objects asked for by DN. few is false
// when they are too many to follow each.
func (s *search) objects() (chains union, few bool, err error) {
	l := objectList{search: s, known: make(map[int64]bool)}
	for _, dn := range slices.Concat(s.r.DNs, s.r.Below) {
		l.add(sqlObject, string(dn))
	}
	for _, dn := range s.r.Below { // "0" follows "/"
		l.add(sqlBelow, string(dn)+"/", string(dn)+"0")
	}
	return l.result()
}

var sqlObjectsOf = map[string]string{
	byTenant: "SELECT o.object, h.last FROM objects o JOIN heads h ON h.object = o.object WHERE o.tenant = ? AND o.class = ?",
	byNode:   "SELECT o.object, h.last FROM objects o JOIN heads h ON h.object = o.object WHERE o.node = ? AND o.class = ?",
}

// objectsOf returns the ways along the objects of some classes in some tenants
// or nodes.
func (s *search) objectsOf(by string, places, classes []int64) (chains union, few bool, err error) {
	if len(places)*len(classes) > maxChains {
		return nil, false, nil
	}
	l := objectList{search: s, known: make(map[int64]bool)}
	for _, p := range places {
		for _, c := range append(classes, 0) {
			l.add(sqlObjectsOf[by], p, c)
		}
	}
	return l.result()
}

// An objectList collects objects until they are too many or there is an error.
type objectList struct {
	search *search
	known  map[int64]bool
	chains union
	err    error
}

func (l *objectList) add(query string, args ...any) {
	if l.err != nil {
		return
	}
	l.err = l.search.conn.each(func(st *stmt) error {
		if number, last := st.ColumnInt64(0), st.ColumnInt64(1); !l.known[number] && apic.ID(last) > l.search.r.After {
			l.known[number] = true
			l.chains = append(l.chains, &chain{search: l.search, kind: byObject, key: number, last: apic.ID(last)})
		}
		if len(l.chains) > maxChains {
			return errMany
		}
		return nil
	}, query, args...)
}

func (l *objectList) result() (chains union, few bool, err error) {
	if errors.Is(l.err, errMany) {
		return nil, false, nil
	}
	return l.chains, true, l.err
}

var errMany = errors.New("too many")

// Count implements [apic.Journal]. It does not count but subtracts.
func (l *Log) Count(ctx context.Context, c apic.Class, after, until apic.ID) (n int64, err error) {
	b := l.Bounds()
	if err := b.Check(after); err != nil {
		return 0, err
	}
	if until <= 0 {
		until = b.Newest
	}
	err = l.view(ctx, func(conn *conn) error {
		class, err := conn.number("SELECT word FROM words WHERE text = ?", string(c))
		if err != nil || class == 0 {
			return err
		}
		from, err := nth(conn, class, int64(after))
		if err != nil {
			return err
		}
		to, err := nth(conn, class, int64(until))
		n = max(to-from, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count in the event log: %w", err)
	}
	return n, nil
}

// nth returns how many entries of a class the log has had up to a place.
func nth(c *conn, class, at int64) (n int64, err error) {
	var id int64
	take := func(s *stmt) { id, n = s.ColumnInt64(0), s.ColumnInt64(1) }
	found, err := c.row(take, sqlMark, byClass, class, at)
	if err == nil && !found {
		_, err = c.row(take, "SELECT last, count FROM places WHERE kind = ? AND word = ?", byClass, class)
	}
	for err == nil && id > at {
		n--
		id, err = c.number(sqlPrev[byClass], id)
	}
	return n, err
}

const sqlFromID = "SELECT id, time FROM entries WHERE id >= ? ORDER BY id LIMIT 1"

// IDAt implements [apic.Journal]. There is no index by time, as ids grow with
// it: the place is found by halving. Where the clock was set back, the answer
// is one of those that are right.
func (l *Log) IDAt(ctx context.Context, t time.Time) (apic.ID, error) {
	at := l.Bounds().Floor
	err := l.view(ctx, func(c *conn) (err error) {
		at, err = idAt(c, t)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("find %s in the event log: %w", t.UTC().Format(time.RFC3339), err)
	}
	return at, nil
}

func idAt(c *conn, t time.Time) (apic.ID, error) {
	floor, err := c.number("SELECT floor FROM log")
	if err != nil {
		return 0, err
	}
	high, err := c.number("SELECT max(id) FROM entries")
	if err != nil {
		return 0, err
	}
	limit, low := t.UnixMicro(), floor
	for low < high {
		middle := low + (high-low+1)/2
		var id, at int64
		if _, err := c.row(func(s *stmt) { id, at = s.ColumnInt64(0), s.ColumnInt64(1) }, sqlFromID, middle); err != nil {
			return 0, err
		}
		if at < limit {
			low = id
		} else {
			high = middle - 1
		}
	}
	return apic.ID(low), nil
}

const sqlObjects = `SELECT o.dn, o.fabric, w.text, coalesce(k.class, e.class), coalesce(k.last, h.last), coalesce(k.shape, e.shape), coalesce(k.whole, e.whole),
  CASE WHEN h.state <> 0 AND e.shape <= 0 THEN e.json END
FROM objects o JOIN heads h ON h.object = o.object
JOIN words w ON w.word = o.fabric
LEFT JOIN kept k ON h.state = 0 AND k.object = h.object
LEFT JOIN entries e ON h.state <> 0 AND e.id = CASE h.state WHEN 1 THEN h.last ELSE h.state END
WHERE (o.dn, o.fabric) > (?, ?) AND h.state IS NOT NULL
ORDER BY o.dn, o.fabric LIMIT 1000`

// Load implements [apic.Journal].
func (l *Log) Load(ctx context.Context) (*apic.Saved, error) {
	saved := &apic.Saved{Objects: l.objects(ctx)}
	err := l.view(ctx, func(c *conn) error {
		err := c.each(func(s *stmt) error {
			sub := apic.Subscription{
				ID: s.ColumnText(0), Fabric: s.ColumnText(1),
				Query: apic.Query{
					Class: apic.Class(s.ColumnText(2)), DN: apic.DN(s.ColumnText(3)),
					Scope: apic.Scope(s.ColumnText(4)), Filter: s.ColumnText(6),
				},
				OnlyNew: s.ColumnInt64(7) != 0, CreatedAt: instant(s, 8), Begun: s.ColumnInt64(9) != 0, ProvenAt: instant(s, 10),
			}
			var targets []apic.Class
			if err := json.Unmarshal(s.ColumnRawText(5), &targets); err != nil {
				return fmt.Errorf("subscription %s: %w", sub.ID, err)
			}
			if len(targets) > 0 {
				sub.Query.Targets = targets
			}
			saved.Subscriptions = append(saved.Subscriptions, sub)
			return nil
		}, "SELECT id, fabric, class, dn, scope, targets, filter, onlyNew, createdAt, begun, provenAt FROM subscriptions ORDER BY id")
		if err != nil {
			return err
		}
		return c.each(func(s *stmt) error {
			saved.Positions = append(saved.Positions, apic.Position{
				PositionKey: apic.PositionKey{Class: apic.Class(s.ColumnText(0)), Consumer: s.ColumnText(1)},
				At:          apic.ID(s.ColumnInt64(2)), Taken: s.ColumnInt64(3), UpdatedAt: instant(s, 4),
			})
			return nil
		}, "SELECT class, consumer, at, taken, updatedAt FROM positions ORDER BY class, consumer")
	})
	if err != nil {
		return nil, fmt.Errorf("load from the event log: %w", err)
	}
	return saved, nil
}

func instant(s *stmt, column int) time.Time {
	if s.ColumnType(column) == sqlite3.NULL {
		return time.Time{}
	}
	return time.UnixMicro(s.ColumnInt64(column)).UTC()
}

func (l *Log) objects(ctx context.Context) iter.Seq2[apic.Object, error] {
	return func(yield func(apic.Object, error) bool) {
		dn, fabric := "", int64(0)
		classes := make(map[int64]apic.Class)
		for {
			var page []apic.Object
			err := l.view(ctx, func(c *conn) error {
				var numbers []int64
				err := c.each(func(s *stmt) error {
					dn, fabric = s.ColumnText(0), s.ColumnInt64(1)
					o := apic.Object{Fabric: s.ColumnText(2), DN: apic.DN(dn), Last: apic.ID(s.ColumnInt64(4))}
					var sent apic.Attrs
					if text := s.ColumnRawText(7); text != nil {
						e, err := decode(o.Last, 0, append([]byte(nil), text...))
						if err != nil {
							return err
						}
						sent = e.Event.Attributes
					}
					var err error
					if o.Attrs, err = l.attributes(c, s.ColumnInt64(5), s.ColumnText(6), sent); err != nil {
						return fmt.Errorf("object %s: %w", dn, err)
					}
					numbers = append(numbers, s.ColumnInt64(3))
					page = append(page, o)
					return nil
				}, sqlObjects, dn, fabric)
				if err != nil {
					return err
				}
				for i, n := range numbers {
					if _, ok := classes[n]; !ok {
						if _, err := c.row(func(s *stmt) { classes[n] = apic.Class(s.ColumnText(0)) }, "SELECT text FROM words WHERE word = ?", n); err != nil {
							return err
						}
					}
					page[i].Class = classes[n]
				}
				return nil
			})
			if err != nil {
				yield(apic.Object{}, fmt.Errorf("load the objects from the event log: %w", err))
				return
			}
			for _, o := range page {
				if !yield(o, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}
