// Package eventlog keeps the timeline of acitap: events and gaps, the objects
// that are their fold, the places of readers and the subscriptions, on disk
// ([Open]) or in memory ([Memory]). Both are an [apic.Journal].
//
// # Assumptions and limits
//
//   - One process writes. A lock on a file in the directory refuses a second
//     one ([ErrLocked]); it ends with the process, however that ends.
//   - The directory is on a local disk. SQLite's write-ahead log needs shared
//     memory and file locks that work, which network file systems do not give.
//   - What Append or SavePosition has returned for survives the end of the
//     process, kill -9 included. A crash of the machine may take back what came
//     within the last second ([Log.Run] syncs once a second): a whole end of
//     the log, never a part of a batch and never something from its middle.
//   - An id is never used twice. After an end out of order ids jump to the time
//     of day, in case the machine had taken back some that were shown already. A
//     place among those that were passed over is an [apic.GoneError], see
//     [apic.Bounds].
//   - Ids grow by one an event from the log's creation in microseconds on, so
//     they stay behind the time of day as long as there are, on average, less
//     than a million events a second.
//   - IDAt trusts that times grow with ids. Where the clock was set back, it
//     answers with one of the places that are right.
//   - Retention never looks at readers: one that it overtakes gets an
//     [apic.GoneError], which says where it can go on. The objects are not
//     touched by it.
//   - Pages that retention sets free are used again; the file does not shrink.
//     VACUUM makes it small while acitap is stopped. RetentionBytes counts the
//     pages in use; beside them the write-ahead log takes 64 MB, and more while
//     somebody else, as sqlite3 on a terminal, keeps a read open.
//   - What only describes the running process (a subscription's state, its
//     counters) is not kept.
//
// # What happens on a full disk
//
// Append and SavePosition return [ErrFull] and nothing of what was asked for
// has happened; reads go on. They can be tried again at any time and succeed
// when there is room, without a restart. Every other failure to write is told
// as it came, and likewise leaves nothing half done. A log whose files have
// been removed or replaced under it refuses to write, since all of it would
// be lost at the end.
//
// # Who may block whom
//
// There is one writing connection. Append, and the places saved by others in
// the meantime, share a transaction; places that are saved while there is
// nothing to append share one among themselves. Retention and the checkpoint
// take the writer for some ten milliseconds at a time. Readers have
// connections of their own and never wait for the writer, nor it for them; a
// read is done in pages, so that a slow loop over it holds nothing.
//
// # Reading the file
//
// eventlog.db can be opened with sqlite3 while acitap runs; .schema explains
// it, and the views timeline and current show entries and objects in words:
//
//	SELECT * FROM timeline WHERE class = 'fvTenant' ORDER BY id DESC LIMIT 10;
//	SELECT dn, attributes FROM current WHERE class = 'faultInst';
//
// # How it is fast
//
// An event costs one row at the end of a table, which goes in with 31 others.
// Everything else about it is a reference from that row to the one before: of
// its class, its object, its tenant and its node; every 64th of each is marked.
// An index by class would cost an event as much as the rest of its row, one by
// object a page for nearly every event, as objects change in no order. The
// objects are not written again either: the table heads says which entry holds
// an object's attributes, and retention copies those of an entry that it
// removes. Names stand in the table words, sets of attribute names in shapes.
//
// The driver is github.com/ncruces/go-sqlite3, used without database/sql: its
// own interface keeps prepared statements, binds without boxing and reads
// without copying, and its files, locks and errors are Go that can be read.
// The module in drivers holds it against modernc.org/sqlite, the other driver
// without C, on this schema; ARCHITECTURE.md has the figures.
package eventlog
