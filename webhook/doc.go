// Package webhook sends events to other people's systems: in order, signed,
// and never dropped for want of a receiver.
//
//	timeline ──▶ dispatcher ──▶ endpoints at rest that want what is new
//	    │                             │ start
//	    └──── After(place) ───▶ worker of an endpoint ──▶ render ──▶ sign ──▶ POST
//	                                  ▲                                        │
//	                                  └── place, state, log ◀── judge ◀────────┘
//	                                            │
//	                                         [Store]
//
// # Promises
//
//   - An [Endpoint] is a reader with a place on the timeline. It is sent what its
//     selectors admit, in order, each at least once, one request in flight. What
//     its receiver does not take waits in the log and costs no memory.
//   - A gap that concerns an endpoint's classes and fabrics is sent like an event,
//     in its place: who asks for less than all must still learn of holes. When
//     retention overtakes an endpoint, that is sent as a gap too, and the endpoint
//     goes on from the oldest entry there is.
//   - No endpoint waits for another. Each that has something to send has one
//     goroutine; one that is at rest has none: a single dispatcher offers what is
//     new to all of them, asking equal selectors once.
//   - A message that fails is the same at the next attempt: the same events, the
//     same webhook-id. [Options] say for how long the log of attempts is held.
//   - Places are stored some milliseconds behind the success, gathered for all
//     endpoints in one transaction. A crash repeats what was sent since then. While
//     the store takes nothing, an endpoint stops after 1024 attempts.
//   - What nobody takes for [Endpoint.RetryFor], or 410, disables an endpoint. It
//     keeps its place.
//   - The address that is dialled decides whether a request is sent: see [Options].
//   - Secrets and values of headers leave the package in requests, in what goes to
//     the [Store], and in the View that Create and Rotate return; nowhere else.
//
// # Stopping
//
// When the context of [Service.Run] ends, no further request begins; those in
// flight have three seconds. Then places are stored, and Run returns. The log
// and the hub must live longer than it.
package webhook
