//go:build unix

package eventlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
)

// toSchema1 makes of a file what the first schema had.
const toSchema1 = `
DROP VIEW timeline;
DROP VIEW current;
ALTER TABLE entries RENAME TO entries2;
CREATE TABLE entries (
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, class INTEGER NOT NULL, nth INTEGER NOT NULL, fabric INTEGER NOT NULL,
  status INTEGER, origin INTEGER, object INTEGER, tenant INTEGER, node INTEGER, prevOfObject INTEGER, prevOfTenant INTEGER,
  prevOfNode INTEGER, marks INTEGER, shape INTEGER, whole TEXT, json TEXT NOT NULL
);
INSERT INTO entries
SELECT e.id, e.time, e.class, row_number() OVER (PARTITION BY e.class ORDER BY e.id),
       (SELECT word FROM words WHERE text = json_extract(e.json, '$.fabric')), e.status, e.origin, e.object, o.tenant, o.node,
       e.prevOfObject, e.prevOfTenant, e.prevOfNode,
       nullif((SELECT sum(CASE kind WHEN 'object' THEN 1 WHEN 'tenant' THEN 2 WHEN 'node' THEN 4 ELSE 0 END) FROM marks m WHERE m.id = e.id), 0),
       e.shape, e.whole, e.json
FROM entries2 e LEFT JOIN objects o ON o.object = e.object;
CREATE INDEX entries_class  ON entries (class);
CREATE INDEX entries_object ON entries (object) WHERE marks & 1;
CREATE INDEX entries_tenant ON entries (tenant) WHERE marks & 2;
CREATE INDEX entries_node   ON entries (node) WHERE marks & 4;
DROP TABLE entries2;
DROP TABLE marks;
ALTER TABLE log DROP COLUMN passed;
DROP TABLE lost;
ALTER TABLE objects RENAME TO objects2;
CREATE TABLE objects (
  dn TEXT NOT NULL, fabric INTEGER NOT NULL, object INTEGER NOT NULL, tenant INTEGER, node INTEGER, PRIMARY KEY (dn, fabric)
) WITHOUT ROWID;
INSERT INTO objects SELECT dn, fabric, object, tenant, node FROM objects2;
DROP TABLE objects2;
DELETE FROM places WHERE kind = 'class';
CREATE VIEW timeline AS SELECT e.id, (SELECT text FROM words WHERE word = e.fabric) AS fabric FROM entries e;
CREATE VIEW current AS SELECT t.id FROM timeline t;
PRAGMA user_version = 1;
`

// ways are reads in each way that the log has.
func ways(l *Log) []apic.Range {
	b := l.Bounds()
	middle := b.Floor + (b.Newest-b.Floor)/2
	var list []apic.Range
	for _, n := range []apic.Narrow{
		{},
		{Kinds: apic.GapsOnly},
		{Classes: []apic.Class{"faultInst"}},
		{Classes: []apic.Class{"fvBD", "fvCEp"}, Kinds: apic.EventsOnly},
		{Tenants: []string{"tenant4"}},
		{Nodes: []string{"105"}},
		{Nodes: []string{"105"}, Classes: []apic.Class{"l1PhysIf"}},
		{Tenants: []string{"tenant4"}, Classes: []apic.Class{"fvBD", "fvCEp"}},
		{Tenants: []string{"tenant4"}, Classes: []apic.Class{"l1PhysIf"}},
		{DNs: []apic.DN{"uni/tn-tenant4/BD-bd4"}},
		{Below: []apic.DN{"uni/tn-tenant8"}},
		{Statuses: []apic.Status{apic.Modified}, Origins: []apic.Origin{apic.Live}, Fabrics: []string{"default"}},
		{Fabrics: []string{"another"}, Kinds: apic.EventsOnly},
	} {
		for _, desc := range []bool{false, true} {
			list = append(list, apic.Range{After: b.Floor, Desc: desc, Narrow: n}, apic.Range{After: middle, Desc: desc, Narrow: n},
				apic.Range{After: b.Floor, Until: middle, Desc: desc, Narrow: n, Limit: 70})
		}
	}
	return list
}

// answers is all that a log says, in text.
func answers(t *testing.T, l *Log) string {
	t.Helper()
	var b strings.Builder
	for _, r := range ways(l) {
		fmt.Fprintf(&b, "%+v\n", r)
		for e, err := range l.Read(t.Context(), r) {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n", e.WithObject())
		}
	}
	for _, c := range []apic.Class{"faultInst", "fvBD", "fvNone"} {
		for at := l.Bounds().Floor; at <= l.Bounds().Newest; at += 37 {
			n, err := l.Count(t.Context(), c, at, 0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s after %d: %d\n", c, at, n)
		}
	}
	saved, err := l.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range saved.Objects {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", o)
	}
	return b.String()
}

// TestMigrationFromSchema1: a log of the first schema answers as one that was
// written by this program, and goes on.
func TestMigrationFromSchema1(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	f := newFabric(200)
	gap := apic.Entry{Gap: &apic.Gap{Time: apic.Now(), Fabric: "default", Classes: []apic.Class{"fvBD"}, From: apic.Now(), To: apic.Now(), Reason: "test", Healed: true}}
	for range 4 {
		b := f.batch(500)
		b.Entries = append(b.Entries, gap)
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	want := answers(t, l)
	if n := strings.Count(want, "\n"); n < 5000 {
		t.Fatalf("%d lines are too few to compare", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := raw(t, dir)
	if err := c.Exec("BEGIN;" + toSchema1 + "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	l = open(t, Options{Dir: dir})
	if diff := cmp.Diff(want, answers(t, l)); diff != "" {
		t.Fatalf("(-written by this program +migrated)\n%s", diff)
	}
	integrity(t, raw(t, dir))
	before := l.Bounds().Newest
	n, err := l.Count(t.Context(), "fvBD", l.Bounds().Floor, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := l.Append(t.Context(), f.batch(500)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range ways(l) {
		var last apic.ID
		for e, err := range l.Read(t.Context(), r) {
			if err != nil {
				t.Fatal(err)
			}
			if last != 0 && r.Desc != (e.ID < last) {
				t.Fatalf("%+v: %d follows %d", r, e.ID, last)
			}
			last = e.ID
		}
	}
	more, err := l.Count(t.Context(), "fvBD", before, 0)
	if err != nil {
		t.Fatal(err)
	}
	if total, err := l.Count(t.Context(), "fvBD", l.Bounds().Floor, 0); err != nil || total != n+more || more == 0 {
		t.Errorf("of fvBD there are %d, want %d from before and %d since (%v)", total, n, more, err)
	}
}
