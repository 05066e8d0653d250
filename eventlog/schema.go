package eventlog

import (
	"errors"
	"fmt"
)

// The file, beside SQLite's own -wal and -shm of the same name, and the lock.
const (
	fileName = "eventlog.db"
	lockName = "eventlog.lock"
)

// applicationID marks the file as ours ("acit"), for file(1) and for Open.
const applicationID = 0x61636974

// migrations lead from user_version i to i+1. What has been released is never
// changed, only added to.
var migrations = []string{schema1, schema2}

// pageSize is larger than SQLite's default: an event takes a kilobyte, and
// what a batch costs grows with the number of pages it writes.
const pageSize = 16 << 10

// markEvery is the distance of marks in a chain of entries.
const markEvery = 64

// What stands in heads.state beside the id of an entry.
const (
	stateKept = 0 // in the table kept
	stateLast = 1 // in the entry heads.last
)

// What stands in shape beside the number of a row of shapes.
const (
	shapeSame = 0  // the attributes in json are the whole object
	shapeBare = -1 // so they are without status, childAction and rn, which belong to the message
)

// schema1 found classes through an index, which cost an event as much as the
// rest of its row. What schema2 does not replace of it stands.
const schema1 = `
CREATE TABLE log (origin INTEGER NOT NULL, floor INTEGER NOT NULL, closed INTEGER NOT NULL);

CREATE TABLE words ( -- names that occur often, each once
  word INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE -- a class, fabric, tenant, node, status or origin
);

CREATE TABLE shapes ( -- the attribute names of objects, each set once
  shape INTEGER PRIMARY KEY, -- from 1
  names TEXT NOT NULL UNIQUE -- a JSON array, sorted
);

CREATE TABLE entries (
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, class INTEGER NOT NULL, nth INTEGER NOT NULL, fabric INTEGER NOT NULL,
  status INTEGER, origin INTEGER, object INTEGER, tenant INTEGER, node INTEGER, prevOfObject INTEGER, prevOfTenant INTEGER,
  prevOfNode INTEGER, marks INTEGER, shape INTEGER, whole TEXT, json TEXT NOT NULL
);
CREATE INDEX entries_class ON entries (class);

CREATE TABLE places ( -- where the newest of each class, tenant and node is
  kind  TEXT NOT NULL, -- class, tenant or node
  word  INTEGER NOT NULL, -- words; for the class of gaps 0
  last  INTEGER NOT NULL, -- its last entry
  count INTEGER NOT NULL, -- how many entries it had
  PRIMARY KEY (kind, word)
) WITHOUT ROWID;

CREATE TABLE objects (
  dn TEXT NOT NULL, fabric INTEGER NOT NULL, object INTEGER NOT NULL, tenant INTEGER, node INTEGER, PRIMARY KEY (dn, fabric)
) WITHOUT ROWID;

CREATE TABLE heads ( -- where the newest of each object is; small, as every event changes one row of it
  object INTEGER PRIMARY KEY,
  last   INTEGER NOT NULL, -- its last entry, 0 when it never had one
  state  INTEGER, -- where its attributes are: 1 in the entry last, 0 in kept, else in the entry with that id; NULL when it does not exist
  count  INTEGER NOT NULL -- how many entries it had
);

CREATE TABLE kept ( -- objects whose attributes no entry holds: retention took it, or there never was one
  object INTEGER PRIMARY KEY,
  class  INTEGER NOT NULL, -- words
  last   INTEGER NOT NULL, -- its last event, 0 when it never had one
  shape  INTEGER NOT NULL,
  whole  TEXT NOT NULL
);

CREATE TABLE subscriptions (
  id        TEXT PRIMARY KEY,
  fabric    TEXT NOT NULL,
  class     TEXT NOT NULL,
  dn        TEXT NOT NULL,
  scope     TEXT NOT NULL,
  targets   TEXT NOT NULL, -- a JSON array of classes
  filter    TEXT NOT NULL,
  onlyNew   INTEGER NOT NULL,
  createdAt INTEGER, -- microseconds since 1970, NULL for unknown
  begun     INTEGER NOT NULL, -- 1 when its first list is in the log to the end
  provenAt  INTEGER -- microseconds since 1970: up to then nothing was missed
) WITHOUT ROWID;

CREATE TABLE positions ( -- the places of readers
  class     TEXT NOT NULL, -- '' for a webhook
  consumer  TEXT NOT NULL, -- '' for the class's own queue
  at        INTEGER NOT NULL, -- all up to this id is done with
  taken     INTEGER NOT NULL, -- how many events it has handed out
  updatedAt INTEGER, -- microseconds since 1970
  PRIMARY KEY (class, consumer)
) WITHOUT ROWID;
`

// schema2 is documented for those who open the file with sqlite3: .schema
// shows the comments, and the views timeline and current are where to begin.
const schema2 = `
DROP VIEW IF EXISTS timeline;
DROP VIEW IF EXISTS current;
ALTER TABLE entries RENAME TO entries1;
ALTER TABLE objects RENAME TO objects1;

CREATE TABLE log2 ( -- one row
  origin INTEGER NOT NULL, -- the id before the first one given: the log's creation in microseconds since 1970
  floor  INTEGER NOT NULL, -- the last id that retention took, origin at first
  passed INTEGER NOT NULL, -- ids up to this one are not given any more, see lost
  closed INTEGER NOT NULL  -- 1 when acitap ended in order; 0 while it runs and after a crash
);
CREATE TABLE lost ( -- ids between these were given before a crash, and what it took back had some of them
  after INTEGER PRIMARY KEY, -- the last that was still there
  until INTEGER NOT NULL -- log.passed since then
);
INSERT INTO log2 SELECT origin, floor, floor, closed FROM log;
DROP TABLE log;
ALTER TABLE log2 RENAME TO log;

CREATE TABLE entries ( -- the timeline; read it through the view of that name
  id     INTEGER PRIMARY KEY, -- grows strictly, never used twice
  time   INTEGER NOT NULL, -- when acitap received it, microseconds since 1970
  class  INTEGER NOT NULL, -- words; 0 is a gap
  status INTEGER, -- words; NULL for a gap
  origin INTEGER, -- words; NULL for a gap
  object INTEGER, -- objects, heads; NULL for a gap
  prevOfClass  INTEGER NOT NULL, -- the entry before this one of the same class, 0 for none; retention may have taken it
  prevOfObject INTEGER, -- of the same object, 0 for none; NULL for a gap
  prevOfTenant INTEGER, -- of the same tenant; NULL for none, and for the first
  prevOfNode   INTEGER, -- of the same node; likewise
  shape  INTEGER, -- the names of whole; 0: the whole object is the attributes in json; -1: they without status, childAction, rn; NULL: not known
  whole  TEXT, -- the values of the object after the event, for deleted as it last stood: a JSON array
  json   TEXT NOT NULL -- as sent to readers
);

CREATE TABLE marks ( -- every 64th entry of a class, tenant, node or object: where a walk along prevOf… can begin
  kind TEXT NOT NULL, -- class, tenant, node or object
  key  INTEGER NOT NULL, -- words; for an object its number
  id   INTEGER NOT NULL, -- entries
  nth  INTEGER NOT NULL, -- which one it is since the log began; 0 for not known
  PRIMARY KEY (kind, key, id)
) WITHOUT ROWID;
CREATE INDEX marks_id ON marks (id);

CREATE TABLE objects ( -- every object that exists or that an entry tells of
  dn     TEXT NOT NULL,
  fabric INTEGER NOT NULL, -- words
  object INTEGER NOT NULL, -- its number in heads, kept and entries
  tenant INTEGER, -- words; what the DN says, NULL where it says none
  node   INTEGER, -- words; likewise
  class  INTEGER NOT NULL, -- words; 0 when the name was given to objects of several classes
  PRIMARY KEY (dn, fabric)
) WITHOUT ROWID;
CREATE INDEX objects_tenant ON objects (tenant, class, object) WHERE tenant IS NOT NULL;
CREATE INDEX objects_node ON objects (node, class, object) WHERE node IS NOT NULL;

CREATE VIEW timeline AS -- every entry in words: SELECT * FROM timeline WHERE dn = 'uni/tn-common' ORDER BY id DESC LIMIT 10
SELECT e.id,
       strftime('%Y-%m-%dT%H:%M:%S', e.time / 1000000, 'unixepoch') || printf('.%06dZ', e.time % 1000000) AS time,
       json_extract(e.json, '$.fabric') AS fabric,
       coalesce((SELECT text FROM words WHERE word = e.class), '(gap)') AS class,
       json_extract(e.json, '$.dn') AS dn,
       (SELECT text FROM words WHERE word = e.status) AS status,
       (SELECT text FROM words WHERE word = e.origin) AS origin,
       CASE WHEN e.shape > 0 THEN
         (SELECT json_group_object(n.value, v.value) FROM shapes s, json_each(s.names) n, json_each(e.whole) v
          WHERE s.shape = e.shape AND v.key = n.key)
       WHEN e.shape = 0 THEN json_extract(e.json, '$.attributes')
       WHEN e.shape = -1 THEN json_remove(json_extract(e.json, '$.attributes'), '$.status', '$.childAction', '$.rn')
       END AS object,
       e.json
FROM entries e;

CREATE VIEW current AS -- every object as it is now
SELECT (SELECT text FROM words WHERE word = o.fabric) AS fabric,
       (SELECT text FROM words WHERE word = coalesce(k.class, (SELECT class FROM entries WHERE id = CASE h.state WHEN 1 THEN h.last ELSE h.state END))) AS class,
       o.dn,
       CASE WHEN h.state = 0 THEN
         (SELECT json_group_object(n.value, v.value) FROM shapes s, json_each(s.names) n, json_each(k.whole) v
          WHERE s.shape = k.shape AND v.key = n.key)
       ELSE (SELECT object FROM timeline WHERE id = CASE h.state WHEN 1 THEN h.last ELSE h.state END) END AS attributes,
       CASE WHEN h.state = 0 THEN k.last ELSE h.last END AS last
FROM objects o JOIN heads h ON h.object = o.object
LEFT JOIN kept k ON h.state = 0 AND k.object = h.object
WHERE h.state IS NOT NULL;

INSERT INTO entries
SELECT id, time, class, status, origin, object,
       coalesce((SELECT max(p.id) FROM entries1 p INDEXED BY entries_class WHERE p.class = e.class AND p.id < e.id), 0),
       prevOfObject, prevOfTenant, prevOfNode, shape, whole, json
FROM entries1 e ORDER BY id;
INSERT INTO marks SELECT 'class', class, id, nth FROM entries1 WHERE nth % 64 = 0;
INSERT INTO marks SELECT 'object', object, id, 0 FROM entries1 WHERE marks & 1;
INSERT INTO marks SELECT 'tenant', tenant, id, 0 FROM entries1 WHERE marks & 2;
INSERT INTO marks SELECT 'node', node, id, 0 FROM entries1 WHERE marks & 4;
INSERT INTO places SELECT 'class', class, max(id), max(nth) FROM entries1 GROUP BY class;
INSERT INTO objects
SELECT o.dn, o.fabric, o.object, o.tenant, o.node, coalesce(k.class, e.class, 0)
FROM objects1 o JOIN heads h ON h.object = o.object LEFT JOIN kept k ON k.object = o.object LEFT JOIN entries1 e ON e.id = h.last;
DROP TABLE entries1;
DROP TABLE objects1;
`

var errForeign = errors.New("is a database, but not an event log of acitap; give acitap a directory of its own")

// migrate brings the file to the schema of this program and reports whether
// it has made the log. Nothing has been written when it refuses.
func migrate(c *conn, origin int64) (fresh bool, err error) {
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return false, err
	}
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return false, err
	}
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return false, err
	}
	known := int64(len(migrations))
	switch {
	case tables > 0 && id != applicationID:
		return false, errForeign
	case version > known:
		return false, fmt.Errorf("was written by a newer acitap (schema %d, this one knows up to %d); run that one, or give this one another directory", version, known)
	case version == known:
		return false, nil
	}
	err = c.Exec("BEGIN IMMEDIATE")
	for v := version; err == nil && v < known; v++ {
		err = c.Exec(migrations[v])
	}
	if err == nil && version == 0 {
		err = c.run("INSERT INTO log VALUES (?, ?, ?, 0)", origin, origin, origin)
	}
	if err == nil {
		err = c.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", applicationID, known))
	}
	if err != nil {
		c.rollback()
		return false, fmt.Errorf("bring it from schema %d to %d: %w", version, known, err)
	}
	return version == 0, nil
}
