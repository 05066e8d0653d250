package apic

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// A State is what a subscription is in. It is reported, never driven.
type State string

// The states of a subscription.
const (
	Pending State = "pending" // not made yet, or its objects are still being listed
	Active  State = "active"  // its objects are known and its pushes are told
	Failed  State = "failed"  // the APIC refuses it; it is tried again with the next session
)

// A Subscription is one query that the hub keeps subscribed, as it stood when
// it was asked for.
type Subscription struct {
	ID        string // of the fabric and the query, the same after a restart
	Fabric    string
	Query     Query
	OnlyNew   bool // objects that exist when it begins become no events
	CreatedAt time.Time
	// Begun says that its first list is in the log to the end: what is new in
	// a later list is a resync, not the snapshot.
	Begun bool
	// ProvenAt is the last moment up to which nothing of it can have been
	// missed, as last stored. A gap after a restart begins there.
	ProvenAt time.Time

	State       State
	Error       string  // why it failed, or why it is tried again
	Objects     int     // that it holds now
	Events      int64   // told through it
	Classes     []Class // of its events, as far as known
	Pending     int64   // events in the queues of its classes that nobody has taken
	LastEventAt time.Time
	LastProof   time.Time // see ProvenAt; of now
}

// subscriptionID derives the id from what makes two subscriptions the same.
func subscriptionID(fabric string, q Query) string {
	sum := sha256.Sum256([]byte(fabric + "\x00" + q.String()))
	return hex.EncodeToString(sum[:6])
}
