package apicsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Tx is a row of changes made under one lock, with one modTs. It is valid only
// within the function that [Fabric.Batch] calls.
type Tx struct {
	f     *Fabric
	user  string
	now   int64 // Unix milliseconds, by the clock of the controller that was asked
	quiet bool  // no records, no housekeeping: the simulator's own hand
	audit bool  // records, unless quiet

	done  []record
	grown []*node  // created, for housekeeping
	ended []string // session objects that are gone
	held  []held   // pushes kept back to be told in reverse (F19)
}

// record is what N12 will say of a change.
type record struct {
	n         *node
	ind       string
	changeSet string
}

// held is a push of a created object that waits for the end of the transaction.
type held struct {
	n      *node
	status string
}

// Batch makes several changes at once: no query sees half of them, and all carry
// the same modTs. What was done before an error stays done. fn must not call
// methods of the fabric, only of tx.
func (f *Fabric) Batch(fn func(tx *Tx) error) error {
	return f.transact(f.opts.User, 0, false, fn)
}

// BatchAs is Batch in the name of a user, as the audit log shows it.
func (f *Fabric) BatchAs(user string, fn func(tx *Tx) error) error {
	return f.transact(user, 0, false, fn)
}

func (f *Fabric) transact(user string, skew time.Duration, quiet bool, fn func(*Tx) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.transactLocked(user, skew, quiet, fn)
}

func (f *Fabric) transactLocked(user string, skew time.Duration, quiet bool, fn func(*Tx) error) error {
	if f.closed {
		return errClosed
	}
	f.wall = time.Now()
	tx := &Tx{f: f, user: user, now: f.wall.Add(skew).UnixMilli(), quiet: quiet, audit: f.opts.Records}
	err := fn(tx)
	for _, h := range slices.Backward(tx.held) {
		f.push(h.n, h.status, nil, tx.now)
	}
	tx.held = nil
	if !quiet {
		if f.opts.Housekeeping {
			tx.keepHouse()
		}
		if len(tx.done) > 0 {
			tx.writeRecords()
		}
	}
	tx.trimRecords()
	for _, c := range f.controllers {
		for _, dn := range tx.ended {
			c.endSessionOf(dn)
		}
	}
	return err
}

// Create makes an object. Attributes that are not given have the values of a new
// object of the class; naming properties come from the DN. It fails if there is
// an object at that DN.
func (f *Fabric) Create(class, dn string, attrs map[string]string) error {
	return f.Batch(func(tx *Tx) error { return tx.Create(class, dn, attrs) })
}

// Modify changes attributes of an object. Nothing is pushed if they had these
// values before. It fails if there is no object at that DN.
func (f *Fabric) Modify(dn string, attrs map[string]string) error {
	return f.Batch(func(tx *Tx) error { return tx.Modify(dn, attrs) })
}

// Delete removes an object and all below it, each with a push of its own. That
// nothing is there is no error.
func (f *Fabric) Delete(dn string) error {
	return f.Batch(func(tx *Tx) error { tx.Delete(dn); return nil })
}

// Post does what a POST of the body (JSON) to /api/mo/<dn>.json does.
func (f *Fabric) Post(dn string, body []byte) error {
	ops, err := parsePost(body)
	if err != nil {
		return err
	}
	return f.Batch(func(tx *Tx) error { return tx.post(dn, ops) })
}

// stamp is the moment of the transaction as text.
func (tx *Tx) stamp() string { return time.UnixMilli(tx.now).UTC().Format(timeLayout) }

// Exists reports whether there is an object at dn.
func (tx *Tx) Exists(dn string) bool { return tx.f.tree.object(dn) != nil }

// Attr returns an attribute of the object at dn, "" if there is none.
func (tx *Tx) Attr(dn, name string) string {
	if n := tx.f.tree.object(dn); n != nil {
		return n.attr(name)
	}
	return ""
}

// Create is [Fabric.Create].
func (tx *Tx) Create(class, dn string, attrs map[string]string) error {
	_, err := tx.create(class, dn, len(attrs), func(set func(name, value string)) {
		for name, value := range attrs {
			set(name, value)
		}
	})
	return err
}

// make is Create with the attributes as a list of names and values.
func (tx *Tx) make(class, dn string, kv ...string) error {
	_, err := tx.create(class, dn, len(kv)/2, func(set func(name, value string)) {
		for i := 0; i+1 < len(kv); i += 2 {
			set(kv[i], kv[i+1])
		}
	})
	return err
}

func (tx *Tx) create(class, dn string, size int, fill func(set func(name, value string))) (*node, error) {
	c, err := tx.f.classLocked(class)
	if err != nil {
		return nil, err
	}
	if err := checkDN(dn); err != nil {
		return nil, err
	}
	n := tx.f.tree.place(dn)
	if n.cls != nil {
		return nil, fmt.Errorf("object %s already exists", dn)
	}
	tx.f.tree.add(n, c)
	n.attrs = make([]attr, 0, size+1)
	c.readRN(n.rn(), func(name, value string) { n.set(c.key(name), value) })
	fill(func(name, value string) { tx.setAttr(n, name, value) })
	if cap(n.attrs)-len(n.attrs) > 2 {
		n.attrs = slices.Clone(n.attrs)
	}
	n.born = tx.now
	n.modTs = tx.now
	switch class {
	case "faultInst", "faultDelegate", "faultRecord", "eventRecord", "aaaModLR", "aaaSessionLR", "healthInst", "fabricHealthTotal":
		n.modTs = never
	}
	if tx.f.childUp {
		tx.held = append(tx.held, held{n, "created"})
	} else {
		tx.f.push(n, "created", nil, tx.now)
	}
	if !tx.quiet {
		if tx.audit {
			tx.done = append(tx.done, record{n: n, ind: "creation"})
		}
		if tx.f.opts.Housekeeping {
			tx.grown = append(tx.grown, n)
		}
	}
	return n, nil
}

// setAttr stores an attribute by name. The five that every object has are not
// stored, but for a modTs that somebody insists on.
func (tx *Tx) setAttr(n *node, name, value string) bool {
	switch name {
	case "childAction", "dn", "rn", "status":
		return false
	}
	return n.set(n.cls.key(name), strings.ToValidUTF8(value, "\ufffd"))
}

func checkDN(dn string) error {
	if dn == "" || len(dn) > 4096 || dn[0] == '/' || dn[len(dn)-1] == '/' {
		return fmt.Errorf("%q is not a DN", dn)
	}
	return nil
}

// Modify is [Fabric.Modify].
func (tx *Tx) Modify(dn string, attrs map[string]string) error {
	n := tx.f.tree.object(dn)
	if n == nil {
		return fmt.Errorf("object %s not found", dn)
	}
	var leaving []*subscription
	if tx.f.opts.PushOnLeave {
		leaving = tx.f.filteredOn(n)
	}
	var changed []uint16
	var cs strings.Builder
	for name, value := range attrs {
		old := ""
		keep := tx.audit && !tx.quiet
		if keep {
			old = n.attr(name)
		}
		if !tx.setAttr(n, name, value) {
			continue
		}
		changed = append(changed, n.cls.keys[name])
		if keep {
			if cs.Len() > 0 {
				cs.WriteString(", ")
			}
			fmt.Fprintf(&cs, "%s (Old: %s, New: %s)", name, old, value)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if n.modTs != never {
		n.modTs = tx.now
	}
	tx.f.push(n, "modified", changed, tx.now)
	if leaving != nil {
		tx.f.pushLeft(n, leaving, tx.now)
	}
	if tx.audit && !tx.quiet {
		tx.done = append(tx.done, record{n: n, ind: "modification", changeSet: cs.String()})
	}
	return nil
}

// Delete is [Fabric.Delete].
func (tx *Tx) Delete(dn string) {
	top := tx.f.tree.nodes[dn]
	if top == nil {
		return
	}
	var gone []*node
	walk(top, func(n *node) { gone = append(gone, n) })
	if tx.f.opts.ParentLast {
		walkUp(top, func(n *node) { tx.f.push(n, "deleted", nil, tx.now) })
	} else {
		for _, n := range gone {
			tx.f.push(n, "deleted", nil, tx.now)
		}
	}
	for _, n := range slices.Backward(gone) {
		if n.cls.name == "aaaActiveUserSession" {
			tx.ended = append(tx.ended, n.dn)
		}
		if tx.audit && !tx.quiet && (n == top || n.cls.config) {
			// A copy: the node may be emptied, or live again.
			tx.done = append(tx.done, record{n: &node{dn: n.dn, parent: n.parent, cls: n.cls, attrs: n.attrs}, ind: "deletion"})
		}
		tx.f.tree.remove(n)
	}
}

// postOp is one object of a POST body.
type postOp struct {
	class string
	attrs map[string]string
	kids  []postOp
}

// postError is a refusal of a POST, with APIC's code.
type postError struct {
	code, text string
}

func (e *postError) Error() string { return e.text }

// parsePost reads a body: {"class":{"attributes":{…},"children":[…]}}, also as
// {"imdata":[…]} or in a list.
func parsePost(body []byte) ([]postOp, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, &postError{"400", "Invalid request. Body is not JSON: " + err.Error()}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &postError{"400", "Invalid request. Text after the JSON document"}
	}
	return postOps(v, 0)
}

func postOps(v any, depth int) ([]postOp, error) {
	bad := func(format string, a ...any) error {
		return &postError{"400", "Invalid request. " + fmt.Sprintf(format, a...)}
	}
	if depth > maxDepth {
		return nil, bad("Nested too deeply")
	}
	if list, ok := v.([]any); ok {
		var ops []postOp
		for _, x := range list {
			o, err := postOps(x, depth+1)
			if err != nil {
				return nil, err
			}
			ops = append(ops, o...)
		}
		return ops, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, bad("An object is expected")
	}
	if list, ok := m["imdata"]; ok {
		return postOps(list, depth+1)
	}
	var ops []postOp
	for _, class := range slices.Sorted(maps.Keys(m)) {
		if !validClass(class) {
			return nil, &postError{"400", "Request failed, unresolved class for " + class}
		}
		inner, ok := m[class].(map[string]any)
		if !ok {
			return nil, bad("The value of %s is not an object", class)
		}
		op := postOp{class: class, attrs: map[string]string{}}
		switch attrs := inner["attributes"].(type) {
		case nil:
		case map[string]any:
			for name, v := range attrs {
				switch v := v.(type) {
				case string:
					op.attrs[name] = v
				case json.Number:
					op.attrs[name] = v.String()
				case bool:
					op.attrs[name] = fmt.Sprint(v)
				case nil:
					op.attrs[name] = ""
				default:
					return nil, bad("Property %s of %s is not text", name, class)
				}
			}
		default:
			return nil, bad("attributes of %s are not an object", class)
		}
		if kids, ok := inner["children"]; ok && kids != nil {
			if _, ok := kids.([]any); !ok {
				return nil, bad("children of %s are not a list", class)
			}
			var err error
			if op.kids, err = postOps(kids, depth+1); err != nil {
				return nil, err
			}
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// plan is a POST with its DNs worked out.
type plan struct {
	class, dn, status string
	attrs             map[string]string
}

// post carries out a POST: first everything is checked, then done.
func (tx *Tx) post(dn string, ops []postOp) error {
	var plans []plan
	for _, op := range ops {
		if err := tx.plan(dn, op, true, &plans); err != nil {
			return err
		}
	}
	made := map[string]string{} // DN to class, of what the plan will have created so far
	gone := map[string]bool{}
	for _, p := range plans {
		n := tx.f.tree.object(p.dn)
		exists := n != nil && !gone[p.dn] || made[p.dn] != ""
		switch p.status {
		case "", "created,modified", "modified,created":
		case "created":
			if exists {
				return &postError{"103", fmt.Sprintf("Cannot create %s, object %s already exists.", p.class, p.dn)}
			}
		case "modified":
			if !exists {
				return &postError{"102", fmt.Sprintf("configured object (%s) not found Dn0=%s, ", p.dn, p.dn)}
			}
		case "deleted":
			gone[p.dn] = true
			delete(made, p.dn)
			continue
		default:
			return &postError{"400", fmt.Sprintf("Invalid request. Unknown status %q", p.status)}
		}
		if n != nil && !gone[p.dn] && n.cls.name != p.class {
			return &postError{"400", fmt.Sprintf("Invalid request. %s is an object of class %s, not %s", p.dn, n.cls.name, p.class)}
		}
		if was := made[p.dn]; was != "" && was != p.class {
			return &postError{"400", fmt.Sprintf("Invalid request. %s is named twice, with two classes", p.dn)}
		}
		made[p.dn] = p.class
	}
	for _, p := range plans {
		var err error
		switch {
		case p.status == "deleted":
			tx.Delete(p.dn)
		case tx.f.tree.object(p.dn) != nil:
			err = tx.Modify(p.dn, p.attrs)
		default:
			err = tx.Create(p.class, p.dn, p.attrs)
		}
		if err != nil {
			return &postError{"400", err.Error()}
		}
	}
	return nil
}

func (tx *Tx) plan(base string, op postOp, top bool, out *[]plan) error {
	c := tx.f.classes[op.class]
	if c == nil {
		if !tx.f.opts.AnyClass {
			return &postError{"400", "Request failed, unresolved class for " + op.class}
		}
		c = newClass(op.class)
	}
	dn := op.attrs["dn"]
	switch rn := op.attrs["rn"]; {
	case dn != "":
		if !top && base != "" && !isBelow(dn, base) && base != "uni" {
			return &postError{"104", fmt.Sprintf("Invalid DN %s is not below %s", dn, base)}
		}
	case rn != "":
		dn = joinDN(base, rn)
	default:
		dn = tx.target(base, c, op.attrs, top)
	}
	if dn == "" {
		return &postError{"105", fmt.Sprintf("The Dn of %s cannot be made: naming properties are missing", op.class)}
	}
	if err := checkDN(dn); err != nil {
		return &postError{"104", "Invalid DN " + dn}
	}
	p := plan{class: op.class, dn: dn, status: op.attrs["status"], attrs: maps.Clone(op.attrs)}
	delete(p.attrs, "modTs")
	if len(p.attrs) > math.MaxUint8 {
		return &postError{"400", "Invalid request. Too many properties"}
	}
	// What is there already and is only named to hold its children is not touched.
	*out = append(*out, p)
	if p.status == "deleted" {
		return nil
	}
	for _, k := range op.kids {
		if err := tx.plan(dn, k, false, out); err != nil {
			return err
		}
	}
	return nil
}

// target finds the DN that a posted object without dn and rn means: the DN of
// the URL itself, or a child of it.
func (tx *Tx) target(base string, c *class, attrs map[string]string, top bool) string {
	if top && base != "" {
		if n := tx.f.tree.object(base); n != nil {
			if n.cls == c {
				return base
			}
		} else if _, rn := splitDN(base); c.rn == nil || c.readRN(rn, func(string, string) {}) {
			return base
		}
	}
	rn, ok := c.makeRN(attrs)
	if !ok {
		if top && c.rn == nil {
			return base
		}
		return ""
	}
	return joinDN(base, rn)
}

func joinDN(base, rn string) string {
	if base == "" {
		return rn
	}
	return base + "/" + rn
}

// keepHouse does what APIC does by itself after a creation: children at once,
// and the allocation of tags and segments a moment later.
func (tx *Tx) keepHouse() {
	f := tx.f
	grown := tx.grown
	tx.grown = nil
	tx.quiet = true
	child := func(n *node, class, rn string, kv ...string) {
		if dn := n.dn + "/" + rn; f.tree.object(dn) == nil {
			_ = tx.Create(class, dn, pairs(kv))
		}
	}
	var later []*node
	for _, n := range grown {
		if n.pos < 0 {
			continue
		}
		switch n.cls.name {
		case "fvTenant":
			child(n, "fvRsTenantMonPol", "rsTenantMonPol", "tDn", "uni/tn-common/monepg-default", "state", "formed")
			child(n, "vnsSvcCont", "svcCont")
			child(n, "fvEpTags", "eptags")
		case "fvAEPg":
			child(n, "fvRsBd", "rsbd")
			child(n, "fvRsCustQosPol", "rscustQosPol", "tDn", "uni/tn-common/qoscustom-default", "state", "formed")
			later = append(later, n)
		case "fvBD":
			child(n, "fvRsCtx", "rsctx", "tnFvCtxName", "default")
			later = append(later, n)
		case "fvRsBd", "fvRsCtx", "fvCtx":
			later = append(later, n)
		}
	}
	tx.quiet = false
	if len(later) == 0 {
		return
	}
	f.after(time.Duration(150+f.rng.IntN(400))*time.Millisecond, func() {
		_ = f.transact("internal", 0, true, func(tx *Tx) error {
			for _, n := range later {
				if f.tree.object(n.dn) != n {
					continue
				}
				_ = tx.Modify(n.dn, tx.settled(n))
			}
			return nil
		})
	})
}

// settled is what housekeeping sets on a new object.
func (tx *Tx) settled(n *node) map[string]string {
	f := tx.f
	num := func(low, span int) string { return fmt.Sprint(low + f.rng.IntN(span)) }
	tenant, _, _ := strings.Cut(strings.TrimPrefix(n.dn, "uni/tn-"), "/")
	target := func(class, prefix, name string) map[string]string {
		for _, t := range []string{tenant, "common"} {
			if dn := "uni/tn-" + t + "/" + prefix + name; f.tree.object(dn) != nil {
				return pairs([]string{"state", "formed", "stateQual", "none", "tDn", dn, "tRn", prefix + name, "tCl", class})
			}
		}
		return pairs([]string{"state", "missing-target", "stateQual", "default-target"})
	}
	switch n.cls.name {
	case "fvCtx":
		seg := num(2097152, 1000000)
		return pairs([]string{"pcTag", num(16386, 30000), "scope", seg, "seg", seg})
	case "fvBD":
		return pairs([]string{"pcTag", num(16386, 30000), "scope", num(2097152, 1000000), "seg", num(14811120, 1900000)})
	case "fvAEPg":
		f.txID += 97
		return pairs([]string{"pcTag", num(16386, 30000), "scope", num(2097152, 1000000), "configSt", "applied", "txId", fmt.Sprint(f.txID)})
	case "fvRsBd":
		return target("fvBD", "BD-", cmpOr(n.attr("tnFvBDName"), "default"))
	case "fvRsCtx":
		return target("fvCtx", "ctx-", cmpOr(n.attr("tnFvCtxName"), "default"))
	}
	return nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// writeRecords adds one record per change: who did what to which object.
func (tx *Tx) writeRecords() {
	f := tx.f
	done := tx.done
	tx.done = nil
	tx.quiet = true
	for _, r := range done {
		switch r.n.cls.name {
		case "aaaModLR", "eventRecord", "faultRecord", "aaaSessionLR", "aaaActiveUserSession", "healthInst", "faultInst", "faultDelegate", "fabricHealthTotal":
			continue
		}
		class, prefix, code, user, trig := "aaaModLR", "mod-", 4211936, tx.user, "config"
		if !r.n.cls.config {
			class, prefix, code, user, trig = "eventRecord", "rec-", 4205125, "internal", "oper"
		}
		verb := map[string]string{"creation": "created", "modification": "modified", "deletion": "deleted"}[r.ind]
		code += map[string]int{"creation": 0, "modification": 1, "deletion": 2}[r.ind]
		f.recordID++
		f.txID += 3
		what := strings.ToUpper(r.n.cls.name[:1]) + r.n.cls.name[1:]
		if i := strings.IndexFunc(r.n.cls.name, func(r rune) bool { return r >= 'A' && r <= 'Z' }); i > 0 {
			what = r.n.cls.name[i:]
		}
		name := r.n.attr("name")
		if name == "" {
			name = r.n.rn()
		}
		dn := fmt.Sprintf("subj-[%s]/%s%d", r.n.dn, prefix, f.recordID)
		_ = tx.Create(class, dn, pairs([]string{
			"affected", r.n.dn, "changeSet", r.changeSet, "code", fmt.Sprintf("E%d", code), "created", tx.stamp(),
			"descr", what + " " + name + " " + verb, "ind", r.ind, "txId", fmt.Sprint(f.txID), "user", user, "trig", trig,
		}))
		f.records = append(f.records, dn)
	}
	tx.quiet = false
}

// trimRecords rolls the records over: when there are too many, the oldest go in
// bulk.
func (tx *Tx) trimRecords() {
	f := tx.f
	if len(f.records) <= f.opts.RecordLimit {
		return
	}
	n := min(len(f.records)-f.opts.RecordLimit+f.opts.RecordLimit/10, len(f.records))
	tx.quiet = true
	for _, dn := range f.records[:n] {
		tx.Delete(dn)
	}
	f.records = slices.Clone(f.records[n:])
}
