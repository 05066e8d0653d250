// Package apic is the vocabulary of a Cisco ACI fabric (Class, DN, Attrs,
// Event, Query), the session with its APIC, and the hub that turns what the
// APIC pushes into one durable timeline.
//
//	   APIC ──socket──▶ read ─┐
//	    ▲                     │ one channel, in the order of arrival
//	    │REST                 ▼
//	workers ◀──tasks── apply: mirror, subscriptions ──batch──▶ Journal
//	ping, token, refresh,     │                                  │
//	heartbeat, counts         ▼                                  ▼ durable first
//	                      timeline: the newest entries, queues ◀─┘
//	                          │ positions
//	                          ▼
//	               After, Grown, Next, Objects: readers
//
// # Promises
//
//   - Order: ids grow; what one object went through is told in the order of the
//     socket. Nobody sees an entry before all that come before it can be seen.
//   - Delivery: who follows ids sees every event once, over reconnects and
//     restarts. A queue gives each event to one caller ([Hub.Next]).
//   - Durable first: an entry is in the [Journal] before anyone sees it, and its
//     object with it, in one transaction.
//   - No silent gap: whenever something was or may have been out of sight, a [Gap]
//     stands on the timeline behind the events that comparing found.
//   - Nobody waits for a slow reader: readers hold a place, not a channel. What
//     can make the source wait is the journal alone; when it takes nothing for
//     too long the session ends, which is a gap like any other.
//   - Restart: [New] finds subscriptions, objects and places in the journal; the
//     time in between is compared and told as a gap.
//   - Gentle: all requests of a hub go through one limiter, logins through
//     another, and refused credentials are not repeated soon.
//
// # Lifetimes
//
// [New] starts nothing. [Hub.Run] is the one long call: it waits for every
// goroutine that it started. There is no Close: files belong to the journal.
//
// Facts about the wire come from the APIC documentation and from clients that
// work in production; where a comment names a client in brackets, its behaviour
// or its history is the source.
package apic
