package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/ncruces/go-sqlite3"

	"github.com/acitap/acitap/apic"
)

// maxObjects is how many objects one generation of the writer's cache holds,
// some ten megabytes.
const maxObjects = 1 << 16

// maxNames bounds the writer's caches of words and shapes.
const maxNames = 1 << 14

// A writer is the one connection that writes, with what it remembers of the
// file so that an event needs no look-up. All of it is used by the holder of
// [Log.writing].
type writer struct {
	*conn
	begin, commit, mark *sqlite3.Stmt
	entries, heads      many

	// What a transaction that failed may have put here is forgotten with it.
	words      map[string]int64
	shapes     map[unique.Handle[string]]int64
	young, old map[apic.ObjectKey]*object // the objects used last, in two generations
	places     map[placeKey]*place
	nextObject int64                // 0 for not known
	floor      int64                // see [apic.Bounds]
	touched    map[*object]struct{} // whose heads the transaction has changed
	moved      map[*place]struct{}  // likewise

	buf []byte
}

// An object is what the file has of one under the same name.
type object struct {
	number       int64
	class        int64  // 0 for several
	tenant, node *place // nil for none
	last         int64
	state        int64 // as in heads
	exists       bool  // state is not NULL
	count        int64
}

// A place is a class, a tenant or a node.
type place struct {
	placeKey
	last, count int64
}

type placeKey struct {
	kind string
	word int64
}

func newWriter(c *conn) (*writer, error) {
	w := &writer{conn: c}
	for _, s := range []struct {
		stmt **sqlite3.Stmt
		sql  string
	}{
		{&w.begin, "BEGIN IMMEDIATE"},
		{&w.commit, "COMMIT"},
		{&w.mark, "INSERT INTO marks VALUES (?,?,?,?)"},
	} {
		var err error
		if *s.stmt, err = c.prepare(s.sql); err != nil {
			return nil, err
		}
	}
	var err error
	if w.entries, err = c.many("INSERT INTO entries VALUES ", 13); err != nil {
		return nil, err
	}
	if w.heads, err = c.many("INSERT OR REPLACE INTO heads VALUES ", 4); err != nil {
		return nil, err
	}
	w.forget()
	return w, nil
}

// forget empties the caches.
func (w *writer) forget() {
	w.words = make(map[string]int64)
	w.shapes = make(map[unique.Handle[string]]int64)
	w.young, w.old = make(map[apic.ObjectKey]*object), nil
	w.places = make(map[placeKey]*place)
	w.touched, w.moved = make(map[*object]struct{}), make(map[*place]struct{})
	w.nextObject = 0
}

// Append implements [apic.Journal].
func (l *Log) Append(ctx context.Context, b *apic.Batch) ([]*apic.Entry, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	started := time.Now()
	sealed, err := seal(b.Entries, l.nextID)
	if err != nil {
		return nil, fmt.Errorf("append to the event log: %w", err)
	}
	if err := l.hold(ctx); err != nil {
		return nil, fmt.Errorf("append to the event log: %w", err)
	}
	defer l.letGo()
	others := l.takeWaiting()
	err = l.transact(func(w *writer) error {
		if err := w.append(b, sealed); err != nil {
			return err
		}
		return w.save(others)
	})
	if err != nil {
		l.saveAlone(others) // they need not fail with the batch
		return nil, fmt.Errorf("append %d entries to the event log: %w", len(sealed), err)
	}
	if n := len(sealed); n > 0 {
		bounds := *l.bounds.Load()
		bounds.Newest = sealed[n-1].ID
		l.bounds.Store(&bounds)
		l.nextID = bounds.Newest + 1
	}
	answer(others, nil)
	l.metrics.appended(len(sealed), time.Since(started))
	return sealed, nil
}

func (w *writer) append(b *apic.Batch, sealed []*apic.Entry) error {
	if err := w.entries.each(len(sealed), func(b *binder, i int) error {
		if sealed[i].Gap != nil {
			return w.gap(b, sealed[i])
		}
		return w.event(b, sealed[i])
	}); err != nil {
		return err
	}
	for i := range b.Put {
		if err := w.put(&b.Put[i]); err != nil {
			return err
		}
	}
	for _, k := range b.Drop {
		if err := w.drop(k); err != nil {
			return err
		}
	}
	if err := w.writeHeads(); err != nil {
		return err
	}
	for _, s := range b.Subscriptions {
		if err := w.subscribe(&s); err != nil {
			return err
		}
	}
	for _, id := range b.Unsubscribe {
		if err := w.run("DELETE FROM subscriptions WHERE id = ?", id); err != nil {
			return err
		}
	}
	for _, p := range b.Positions {
		if err := w.position(p); err != nil {
			return err
		}
	}
	for _, k := range b.Forget {
		if err := w.forgetPosition(k); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) gap(b *binder, e *apic.Entry) error {
	class, err := w.place(byClass, 0)
	if err != nil {
		return err
	}
	before, err := w.move(class, int64(e.ID))
	if err != nil {
		return err
	}
	b.int(int64(e.ID))
	b.int(e.Gap.Time.UnixMicro())
	b.int(0)
	for range 3 {
		b.null()
	}
	b.int(before)
	for range 5 {
		b.null()
	}
	b.raw(e.JSON)
	return nil
}

func (w *writer) event(b *binder, e *apic.Entry) error {
	v := e.Event
	word, err := w.word(string(v.Class))
	if err != nil {
		return err
	}
	o, err := w.object(apic.ObjectKey{Fabric: v.Fabric, DN: v.DN}, word)
	if err != nil {
		return err
	}
	class, err := w.place(byClass, word)
	if err != nil {
		return err
	}
	status, err := w.word(string(v.Status))
	if err != nil {
		return err
	}
	origin, err := w.word(string(v.Origin))
	if err != nil {
		return err
	}
	if o.count++; o.count%markEvery == 0 {
		if err := w.setMark(byObject, o.number, int64(e.ID), o.count); err != nil {
			return err
		}
	}
	var before [3]int64 // of class, tenant, node
	for i, p := range [3]*place{class, o.tenant, o.node} {
		if before[i], err = w.move(p, int64(e.ID)); err != nil {
			return err
		}
	}
	b.int(int64(e.ID))
	b.int(v.Time.UnixMicro())
	b.int(word)
	b.int(status)
	b.int(origin)
	b.int(o.number)
	b.int(before[0])
	b.int(o.last)
	b.ref(before[1])
	b.ref(before[2])
	switch {
	case v.Object.IsZero():
		b.null()
		b.null()
	case v.Object == v.Attributes:
		b.int(shapeSame)
		b.null()
	case v.Status == apic.Created && isBare(v.Object, v.Attributes):
		b.int(shapeBare)
		b.null()
	default:
		shape, err := w.shape(v.Object)
		if err != nil {
			return err
		}
		b.int(shape)
		b.raw(w.values(v.Object))
	}
	b.raw(e.JSON)
	return w.fold(o, int64(e.ID), v)
}

// move makes an entry the newest of its class, tenant or node, and returns
// the one before.
func (w *writer) move(p *place, id int64) (before int64, err error) {
	if p == nil {
		return 0, nil
	}
	before, p.last = p.last, id
	w.moved[p] = struct{}{}
	if p.count++; p.count%markEvery == 0 {
		err = w.setMark(p.kind, p.word, id, p.count)
	}
	return before, err
}

func (w *writer) setMark(kind string, key, id, nth int64) error {
	b := binder{stmt: w.mark}
	b.text(kind)
	b.int(key)
	b.int(id)
	b.int(nth)
	if b.err != nil {
		return b.err
	}
	return w.mark.Exec()
}

// fold brings the object's head to what it is after the event.
func (w *writer) fold(o *object, id int64, v *apic.Event) error {
	known := !v.Object.IsZero()
	if o.exists && o.state == stateKept {
		switch {
		case known || v.Status == apic.Deleted:
			if err := w.run("DELETE FROM kept WHERE object = ?", o.number); err != nil {
				return err
			}
		default:
			if err := w.run("UPDATE kept SET last = ? WHERE object = ?", id, o.number); err != nil {
				return err
			}
		}
	}
	switch {
	case v.Status == apic.Deleted:
		o.exists = false
	case known:
		o.exists, o.state = true, stateLast
	case o.exists && o.state == stateLast:
		o.state = o.last
	}
	o.last = id
	w.touched[o] = struct{}{}
	return nil
}

func (w *writer) put(p *apic.Object) error {
	class, err := w.word(string(p.Class))
	if err != nil {
		return err
	}
	o, err := w.object(apic.ObjectKey{Fabric: p.Fabric, DN: p.DN}, class)
	if err != nil {
		return err
	}
	o.exists, o.state = true, stateKept
	w.touched[o] = struct{}{}
	return w.keep(o.number, class, int64(p.Last), p.Attrs)
}

// keep stores an object's attributes apart from any entry.
func (w *writer) keep(object, class, last int64, a apic.Attrs) error {
	shape, err := w.shape(a)
	if err != nil {
		return err
	}
	return w.run("INSERT OR REPLACE INTO kept VALUES (?,?,?,?,?)", object, class, last, shape, w.values(a))
}

func (w *writer) drop(k apic.ObjectKey) error {
	o, err := w.known(k)
	if err != nil || o == nil || !o.exists {
		return err
	}
	if o.state == stateKept {
		if err := w.run("DELETE FROM kept WHERE object = ?", o.number); err != nil {
			return err
		}
	}
	o.exists = false
	if o.last > w.floor {
		w.touched[o] = struct{}{}
		return nil
	}
	return w.erase(k, o)
}

// erase removes an object that does not exist and that no entry tells of.
func (w *writer) erase(k apic.ObjectKey, o *object) error {
	delete(w.young, k)
	delete(w.old, k)
	delete(w.touched, o)
	fabric, err := w.word(k.Fabric)
	if err != nil {
		return err
	}
	if err := w.run("DELETE FROM objects WHERE dn = ? AND fabric = ?", string(k.DN), fabric); err != nil {
		return err
	}
	return w.run("DELETE FROM heads WHERE object = ?", o.number)
}

// writeHeads writes each head that has changed once, in the order of the
// table, so that its pages are touched once.
func (w *writer) writeHeads() error {
	list := make([]*object, 0, len(w.touched))
	for o := range w.touched {
		list = append(list, o)
	}
	clear(w.touched)
	slices.SortFunc(list, func(a, b *object) int { return int(a.number - b.number) })
	if err := w.heads.each(len(list), func(b *binder, i int) error {
		o := list[i]
		b.int(o.number)
		b.int(o.last)
		if o.exists {
			b.int(o.state)
		} else {
			b.null()
		}
		b.int(o.count)
		return nil
	}); err != nil {
		return err
	}
	for p := range w.moved {
		if err := w.run("INSERT OR REPLACE INTO places VALUES (?,?,?,?)", p.kind, p.word, p.last, p.count); err != nil {
			return err
		}
	}
	clear(w.moved)
	return nil
}

// object returns what the file has under a name, a new one if need be.
func (w *writer) object(k apic.ObjectKey, class int64) (*object, error) {
	o, err := w.known(k)
	if err != nil || o != nil && (o.class == class || o.class == 0) {
		return o, err
	}
	if o != nil { // the name was given to an object of another class
		o.class = 0
		fabric, err := w.word(k.Fabric)
		if err != nil {
			return nil, err
		}
		return o, w.run("UPDATE objects SET class = 0 WHERE dn = ? AND fabric = ?", string(k.DN), fabric)
	}
	o = &object{class: class}
	path := k.DN.Path()
	for _, kind := range []struct {
		name  string
		place **place
	}{{byTenant, &o.tenant}, {byNode, &o.node}} {
		name := path.Get(kind.name)
		if name == "" {
			continue
		}
		word, err := w.word(name)
		if err != nil {
			return nil, err
		}
		if *kind.place, err = w.place(kind.name, word); err != nil {
			return nil, err
		}
	}
	fabric, err := w.word(k.Fabric)
	if err != nil {
		return nil, err
	}
	if w.nextObject == 0 {
		newest, err := w.number("SELECT max(object) FROM heads")
		if err != nil {
			return nil, err
		}
		w.nextObject = newest + 1
	}
	o.number = w.nextObject
	w.nextObject++
	w.remember(k, o)
	w.touched[o] = struct{}{}
	return o, w.run("INSERT INTO objects VALUES (?,?,?,?,?,?)", string(k.DN), fabric, o.number, o.tenant.ref(), o.node.ref(), class)
}

// known returns what the file has under a name, nil for nothing.
func (w *writer) known(k apic.ObjectKey) (*object, error) {
	if o := w.young[k]; o != nil {
		return o, nil
	}
	if o := w.old[k]; o != nil {
		w.remember(k, o)
		return o, nil
	}
	fabric, err := w.word(k.Fabric)
	if err != nil {
		return nil, err
	}
	var o *object
	var tenant, node int64
	_, err = w.row(func(s *sqlite3.Stmt) {
		tenant, node = s.ColumnInt64(1), s.ColumnInt64(2)
		o = &object{
			number: s.ColumnInt64(0), last: s.ColumnInt64(3),
			exists: s.ColumnType(4) != sqlite3.NULL, state: s.ColumnInt64(4), count: s.ColumnInt64(5), class: s.ColumnInt64(6),
		}
	}, "SELECT o.object, o.tenant, o.node, h.last, h.state, h.count, o.class FROM objects o JOIN heads h ON h.object = o.object WHERE o.dn = ? AND o.fabric = ?", string(k.DN), fabric)
	if err != nil || o == nil {
		return nil, err
	}
	if tenant != 0 {
		if o.tenant, err = w.place(byTenant, tenant); err != nil {
			return nil, err
		}
	}
	if node != 0 {
		if o.node, err = w.place(byNode, node); err != nil {
			return nil, err
		}
	}
	w.remember(k, o)
	return o, nil
}

func (w *writer) remember(k apic.ObjectKey, o *object) {
	if len(w.young) >= maxObjects {
		w.young, w.old = make(map[apic.ObjectKey]*object, maxObjects), w.young
	}
	w.young[k] = o
}

// place returns what the file has of a class, a tenant or a node.
func (w *writer) place(kind string, word int64) (*place, error) {
	k := placeKey{kind, word}
	if p := w.places[k]; p != nil {
		return p, nil
	}
	p := &place{placeKey: k}
	if _, err := w.row(func(s *sqlite3.Stmt) { p.last, p.count = s.ColumnInt64(0), s.ColumnInt64(1) },
		"SELECT last, count FROM places WHERE kind = ? AND word = ?", kind, word); err != nil {
		return nil, err
	}
	w.places[k] = p
	return p, nil
}

// ref is a place as objects name it.
func (p *place) ref() any {
	if p == nil {
		return nil
	}
	return p.word
}

// word returns the number of a name.
func (w *writer) word(text string) (int64, error) {
	if n, ok := w.words[text]; ok {
		return n, nil
	}
	n, err := w.number("SELECT word FROM words WHERE text = ?", text)
	if err == nil && n == 0 {
		n, err = w.number("INSERT INTO words (text) VALUES (?) RETURNING word", text)
	}
	if err != nil {
		return 0, err
	}
	if len(w.words) >= maxNames {
		clear(w.words)
	}
	w.words[strings.Clone(text)] = n
	return n, nil
}

// shape returns the number of a set's names.
func (w *writer) shape(a apic.Attrs) (int64, error) {
	if n, ok := w.shapes[a.Shape()]; ok {
		return n, nil
	}
	names := []string{}
	for name := range a.All() {
		names = append(names, name)
	}
	text, err := json.Marshal(names)
	if err != nil {
		return 0, err
	}
	n, err := w.number("SELECT shape FROM shapes WHERE names = ?", text)
	if err == nil && n == 0 {
		n, err = w.number("INSERT INTO shapes (names) VALUES (?) RETURNING shape", text)
	}
	if err != nil {
		return 0, err
	}
	if len(w.shapes) >= maxNames {
		clear(w.shapes)
	}
	w.shapes[a.Shape()] = n
	return n, nil
}

// values returns the values of a set as a JSON array, until the next call.
func (w *writer) values(a apic.Attrs) []byte {
	w.buf = append(w.buf[:0], '[')
	for _, v := range a.All() {
		if len(w.buf) > 1 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendText(w.buf, v)
	}
	w.buf = append(w.buf, ']')
	return w.buf
}

func (w *writer) subscribe(s *apic.Subscription) error {
	targets := s.Query.Targets
	if targets == nil {
		targets = []apic.Class{}
	}
	list, err := json.Marshal(targets)
	if err != nil {
		return err
	}
	return w.run("INSERT OR REPLACE INTO subscriptions VALUES (?,?,?,?,?,?,?,?,?,?,?)",
		s.ID, s.Fabric, string(s.Query.Class), string(s.Query.DN), string(s.Query.Scope), list, s.Query.Filter,
		flag(s.OnlyNew), micros(s.CreatedAt), flag(s.Begun), micros(s.ProvenAt))
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// micros is a time as it is stored: NULL for none.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
