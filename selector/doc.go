// Package selector compiles what a caller asked for: which events and objects
// ([Selector]) and from where on the timeline ([Place]). The words are the same
// for history, streams, queues, objects, webhooks and the command line.
//
//	url.Values ── Parse ──▶ Selector ── Match ───────▶ events and gaps
//	                            │ ───── MatchObject ──▶ current objects
//	                            └────── Narrow ───────▶ what an index of the journal can find
//	since=24h ── ParsePlace ─▶ Place ── Resolve ─────▶ id
//
// # Selectors
//
// A selector is made of parameters. Those of different names are joined by
// and, the values of one by or. A parameter given twice is one longer list.
//
//	class=faultInst,EPG        APIC's or acitoolkit's names; an abstract class means its concrete ones
//	dn=uni/tn-prod             exactly this object
//	dn=uni/tn-prod/            everything below it, without itself
//	dn=uni/tn-*/ap-shop        * stands for any text within one RN, ** for any text
//	dn=uni/**/epg-web          ** as a whole RN stands for any number of RNs, also none
//	dn=uni/**/rspathAtt-*      finds …/rspathAtt-[topology/pod-1/paths-101/pathep-[eth1/1]]
//	status=created,deleted     created, modified, deleted
//	origin=live                live, snapshot, resync
//	fabric=a,b  tenant=prod,common  node=101,102
//	attr.severity=critical,major   of the whole object
//	filter=object.severity == "critical" and tenant == "prod"
//
// Every list but dn is separated by commas. A DN may hold commas, so several
// of them are given as dn=…&dn=…. A value of attr.NAME that holds a comma
// is asked for with a filter. Brackets in a DN are literal, and what stands
// inside of them, slashes too, belongs to the RN.
//
// # Filters
//
// A filter is an expression of expr-lang that is true or false:
//
//	id time fabric class dn status origin     of the event; id is a number, time a time, the rest text
//	tenant vrf bd ap epg pod node interface … what the DN says (see [Variables]); "" where it does not
//	path.tenant                               the same, written out
//	object.NAME  object["NAME"]               attribute of the whole object after the event
//	attributes.NAME                           attribute as the APIC sent it: of a modified only what changed
//	changes.NAME.old  changes.NAME.new        of an attribute whose earlier value is known to differ
//	"NAME" in changes                         it is one of those; also in object and in attributes
//
// Attributes are text, and one that is not there is "": nothing is nil, and no
// comparison fails for want of an attribute. changes.descr.old is "" as well
// where descr did not change, so ask "descr" in changes where that matters.
// To compare numbers, say int(object.code) > 100. Where acitap never saw the
// whole object, object has what the event itself carries.
//
// Operators: and or not, == != < <= > >=, in, contains, startsWith, endsWith,
// matches (RE2; the pattern is a literal), + - * / % **, ?:, slices and
// indexes. Functions: see [Functions]. A literal that is compared with
// a time is a time: time >= "2026-11-24T03:00:00Z"; or
// time > now() - duration("15m").
//
// What can only be a mistake is refused: an unknown name or function, a status
// that there is not, text compared with a number, a list that mixes them.
//
// Filters come from strangers and so do the events. The text, the expression and
// its patterns are bounded in size. Loops (any, all, none, one, count) run over
// short lists and do not nest. Reading text, matching and growing it is paid
// for from a budget, so that the worst filter on the worst event ends within
// some tens of milliseconds. A filter that runs out of its budget or fails
// (int("x")) does not match that event.
//
// # Concurrency
//
// A Selector and a Place never change once made, and may be used by any number
// of goroutines. Nothing here blocks, except that [Place.Resolve] asks the log.
package selector
