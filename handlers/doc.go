// Package handlers serves a hub over HTTP: subscriptions, queues, history,
// streams, objects, the state of the session, and the page.
//
//	request ─▶ [New]: headers, id, log, recover, host, who, limits, cross-origin ─▶ route: its role ─▶ handler ─▶ answer
//	                                                                                └─ error ─▶ problem
//
// # Promises
//
//   - A reader is a place on the timeline and nothing else. Streams (package
//     fanout), long polls and pages of history read from the hub at the reader's
//     own pace; a slow one holds up nobody and is never skipped.
//
//   - No hole is silent: what the log has lost is told as a gap on a stream, and
//     as 410 with the oldest id elsewhere. A place that a stream hands out (an id:
//     line) is one that it can be resumed from without loss.
//
//   - What was asked for is understood to the last word, or refused with all
//     mistakes at once: unknown, doubled, malformed or out of range.
//
//   - Everything that goes wrong is an RFC 9457 problem whose detail says what to
//     do next. A 5xx says no more than an id under which the log has the cause.
//
//   - Every write has a deadline, every body a limit, every caller a number of
//     requests in flight.
//
//   - Who may call what stands in one table, needs. A route that is not there
//     is open to nobody.
//
// # Stopping
//
// Streams and long polls end when the context of their request does. Cancel the
// server's BaseContext with a cause ([ErrStopping]) and they end in good order,
// spread over two seconds, so that clients do not come back all at once; call
// Shutdown after it, and wait for [Handler.Run], whose streams Shutdown does not
// know. A context that is cancelled without a cause is a client that has hung
// up.
//
// The server must not have a WriteTimeout: it would cut streams. A
// ReadHeaderTimeout and an IdleTimeout do no harm.
package handlers
