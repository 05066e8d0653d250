// Package apicsim is a Cisco ACI fabric in memory. It speaks the REST API and
// the WebSocket of the APIC, and every way in which they are known to fail.
//
//	fabric := apicsim.New(apicsim.Options{Seed: 7, Controllers: 3})
//	defer fabric.Close()
//	server := httptest.NewServer(fabric.Controller(0))
//	…
//	fabric.Create("fvTenant", "uni/tn-blue", nil)         // pushed to who subscribed
//	fabric.Controller(0).DropSockets(apicsim.Reset)       // a fault
//	fabric.Objects("fvTenant")                            // what is true now
//
// A [Fabric] is one tree of managed objects. Its [Controller]s are
// [net/http.Handler]s over that tree, each with sessions, tokens, sockets and
// subscription ids of its own. What is changed through Go ([Fabric.Create],
// [Fabric.Batch]) is pushed exactly as what is changed through POST and DELETE.
//
// # Promises
//
//   - Every push of one socket is in the order of the changes, and the answer of
//     a subscribing query holds exactly what was true when the subscription
//     began: what comes later is pushed, what came earlier is not.
//   - A change that concerns several subscriptions of a session is one frame
//     with all ids.
//   - The tree never waits for a socket. A socket has a queue of its own; one
//     that is too far behind ([Options.MaxBehind]) is dropped.
//   - All waiting is on timers, channels and condition variables, so everything
//     works in a [testing/synctest] bubble on virtual time, with [Network] as
//     the wire. After [Fabric.Close] no goroutine of the package is left.
//   - The same seed and the same calls give the same fabric. (Tokens and ids
//     too, as long as the requests come in the same order.)
//
// # Faults
//
// Faults are methods, named after what the network engineer would see:
// [Controller.DropSockets], [Controller.HalfOpen], [Fabric.LeafReboot]. All
// return at once; what takes time runs on timers. [Controller.Heal] and
// [Fabric.Heal] end them. The same list can be driven over HTTP, see
// [Fabric.Control].
//
// The package shares no code with the client side of the module: a common
// encoder would carry a wrong belief about the wire through every test. The
// server half of RFC 6455 is written here too (socket.go), because a fault must
// be able to stop in the middle of a frame.
package apicsim
