// Package fanout sends the timeline to many readers at once.
//
// A reader is a place on the timeline. Readers that ask for the same — the
// same selector, with or without objects, in the same form — share a feed:
// what comes is matched once and encoded once, into a run of bytes that all of
// them are sent. What a stream says besides, its begin, its heartbeats, the
// state of the sessions, what the log has lost, is said by one type, whatever
// carries it.
//
// # Two carriers
//
//	             ┌─ [Fanout.Serve]: the request's goroutine waits and writes   HTTP/2, TLS, other systems
//	reader ─ feed┤
//	             └─ [Fanout.Take]: hijacked, a member of a shard               HTTP/1.x in the clear, on Linux
//	                   shard: writes what the socket has room for ──would block, or behind what is in memory──▶ apart
//	                     ▲                                                         a goroutine of its own, which reads
//	                     └──────────────────────has caught up──────────────────── the log and waits for the socket
//
// A stream that has been taken costs no goroutine and no buffer while nothing
// happens: a shard, one for each processor, writes to all of its members in
// turn, and one epoll instance tells when a peer has hung up. A shard never
// waits for a socket and never reads the log, so that no reader holds up
// another.
//
// # Promises
//
//   - Every reader is sent exactly the entries that its selector matches, each
//     once, in order, whatever carries it and however slow it is.
//
//   - A lone entry is sent at once. Only when entries come fast are they gathered
//     for a few milliseconds, so that a write carries several.
//
//   - A reader that takes nothing for 30 s while something is to be written is
//     cut off; so is one whose peer has hung up, at once.
//
//   - Memory does not grow with slow readers: each holds one run at the most.
//
//   - When the service stops, streams end whole and spread over two seconds.
package fanout
