package apicsim

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// TokenStyle is what session tokens look like.
type TokenStyle int

const (
	// Base64Tokens are those of older releases: they contain '/', '//', '+' and
	// end in "==", and stand in the URL of the socket as they are.
	Base64Tokens TokenStyle = iota
	// JWTTokens are those of 5.x and later: three parts, some 800 characters.
	JWTTokens
)

// SocketEnd is how a socket ends.
type SocketEnd int

const (
	CloseNormal    SocketEnd = iota // close frame 1000
	CloseGoingAway                  // close frame 1001
	Reset                           // TCP reset without a close frame
	CutFrame                        // TCP reset in the middle of a frame
	StayOpen                        // no end: the socket stays, and never says anything again
)

// Options of a fabric. The zero value is a fabric of one controller in good
// health with the values that APIC has by default.
type Options struct {
	Seed            uint64              // of tokens, ids, names and Live; 0 is a seed too
	Controllers     int                 // default 1
	User            string              // default "admin"
	Password        string              // default "cisco123"
	Users           map[string]string   // further users and their passwords
	Domains         []string            // login domains; default "DefaultAuth", "fallback", "LOCAL"
	TokenStyle      TokenStyle          //
	RefreshTimeout  time.Duration       // life of a token without refresh; default 600 s
	MaximumLifetime time.Duration       // of a session; default 24 h
	TokenOverlap    time.Duration       // how long the old token is good after a refresh; default not at all
	SocketAtEnd     SocketEnd           // what becomes of the socket when its session ends; default CloseNormal
	CertKeys        map[string]PublicID // signature authentication: certificate DN to key

	SubscriptionLife    time.Duration // without refresh-timeout; default 60 s
	MinSubscriptionLife time.Duration // bounds of refresh-timeout; default 10 s
	MaxSubscriptionLife time.Duration // default 12 h
	LazyExpiry          time.Duration // subscriptions live that much longer than agreed
	EarlyExpiry         time.Duration // subscriptions live that much shorter than agreed (not below 1 s)
	PushOnLeave         bool          // an object that stops matching a filter is pushed as deleted; default no push
	QuietChildren       bool          // rsp-subtree=children|full does not push changes of the children
	SparseFaults        bool          // modified faults are told sparse and with modTs, as everything else

	Version     string // default "6.0(2h)"
	MaxResult   int    // largest answer in objects; default 100000
	MaxBehind   int    // frames that a socket may be behind before it is dropped; default 200000
	StableOrder bool   // pages without order-by keep their order; default they do not, as on APIC
	AnyClass    bool   // unknown classes are answered as empty; default 400 unresolved class
	Lenient     bool   // percent-encoded ( ) and , in a filter are accepted; default 400, see 3.2 of the protocol

	Housekeeping bool // N10: automatic children at once, modified shortly after created
	Records      bool // N12: an aaaModLR or eventRecord for each change
	RecordLimit  int  // records kept; the oldest are deleted in bulk. Default 5000
	ParentLast   bool // on deletion of a subtree the children are told before the parent

	PingEvery time.Duration // the server's own pings; default none
	Logger    *slog.Logger  // default none
}

// PublicID is a certificate that users sign requests with.
type PublicID struct {
	Key  *rsa.PublicKey
	User string // default: taken from the certificate's DN
}

// Fabric is one object tree with its controllers. All methods may be called from
// any goroutine, and return without waiting for any client.
type Fabric struct {
	opts        Options
	log         *slog.Logger
	controllers []*Controller
	started     time.Time
	done        chan struct{} // closed by Close
	wg          sync.WaitGroup
	stats       stats

	timerMu sync.Mutex // guards timers
	timers  map[*timer]struct{}

	// mu guards all below, and everything in sessions, subscriptions and
	// controllers that does not say otherwise. It is held while answers are
	// encoded, never over I/O or a wait. Sockets have locks of their own, taken
	// after this one.
	mu        sync.RWMutex
	closed    bool
	wall      time.Time // the moment of the transaction under way
	scratch   [2][]byte // of push: one encoded object, JSON and XML
	tree      *tree
	classes   map[string]*class
	rng       *rand.Rand
	txID      uint64
	recordID  uint64
	records   []string // DNs of aaaModLR and eventRecord, oldest first
	passwords map[string]string
	lost      map[string]bool // parents whose first child was lost to the settle gap
	settle    time.Duration   // F25
	quieted   bool            // pushes are being swallowed: OrphanDelete at work
	childUp   bool            // F19: in one transaction, children are told before parents
	live      liveState
}

// timer is something that will happen.
type timer struct {
	f *Fabric
	t *time.Timer
}

// New returns a fabric: the policy universe with the tenants common, infra and
// mgmt, one pod, and its controllers. Close it after use.
func New(o Options) *Fabric {
	o.Controllers = cmp.Or(max(o.Controllers, 0), 1)
	o.User = cmp.Or(o.User, "admin")
	o.Password = cmp.Or(o.Password, "cisco123")
	if o.Domains == nil {
		o.Domains = []string{"DefaultAuth", "fallback", "LOCAL"}
	}
	o.RefreshTimeout = cmp.Or(o.RefreshTimeout, 600*time.Second)
	o.MaximumLifetime = cmp.Or(o.MaximumLifetime, 24*time.Hour)
	o.SubscriptionLife = cmp.Or(o.SubscriptionLife, 60*time.Second)
	o.MinSubscriptionLife = cmp.Or(o.MinSubscriptionLife, 10*time.Second)
	o.MaxSubscriptionLife = cmp.Or(o.MaxSubscriptionLife, 12*time.Hour)
	o.Version = cmp.Or(o.Version, "6.0(2h)")
	o.MaxResult = cmp.Or(o.MaxResult, 100_000)
	o.MaxBehind = cmp.Or(o.MaxBehind, 200_000)
	o.RecordLimit = cmp.Or(o.RecordLimit, 5000)
	f := &Fabric{
		opts:      o,
		log:       o.Logger,
		started:   time.Now(),
		done:      make(chan struct{}),
		timers:    map[*timer]struct{}{},
		tree:      newTree(),
		classes:   builtinClasses(),
		rng:       rand.New(rand.NewPCG(o.Seed, 0x616369746170)),
		txID:      576460752305671553,
		recordID:  4294970000,
		passwords: map[string]string{o.User: o.Password},
		lost:      map[string]bool{},
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	maps.Copy(f.passwords, o.Users)
	for i := range o.Controllers {
		f.controllers = append(f.controllers, newController(f, i))
	}
	f.mu.Lock()
	f.plant()
	f.mu.Unlock()
	return f
}

// plant makes the tree that every fabric has.
func (f *Fabric) plant() {
	tx := &Tx{f: f, user: "internal", now: time.Now().UnixMilli(), quiet: true}
	must := func(class, dn string, kv ...string) {
		if err := tx.Create(class, dn, pairs(kv)); err != nil {
			panic("apicsim: " + err.Error())
		}
	}
	for _, c := range []struct{ class, dn string }{
		{"polUni", "uni"}, {"fabricInst", "uni/fabric"}, {"infraInfra", "uni/infra"}, {"aaaUserEp", "uni/userext"},
		{"compUni", "comp"}, {"fabricTopology", "topology"}, {"fabricPod", "topology/pod-1"},
	} {
		must(c.class, c.dn)
	}
	for _, t := range []string{"common", "infra", "mgmt"} {
		must("fvTenant", "uni/tn-"+t)
	}
	must("fvCtx", "uni/tn-common/ctx-default", "pcTag", "16386", "scope", "2654208", "seg", "2654208")
	must("fvBD", "uni/tn-common/BD-default", "pcTag", "32770", "scope", "2654208", "seg", "16646015")
	must("aaaUser", "uni/userext/user-"+f.opts.User)
	must("commHttps", "uni/fabric/comm-default/https")
	must("fabricHealthTotal", "topology/health", "updTs", tx.stamp())
	boot := f.started.Add(-40 * 24 * time.Hour).UTC().Format(timeLayout)
	for i := range f.controllers {
		id := i + 1
		node := fmt.Sprintf("topology/pod-1/node-%d", id)
		name := fmt.Sprintf("apic%d", id)
		serial := fmt.Sprintf("FCH2%03dV%03d", 100+i, 200+7*i)
		addr := fmt.Sprintf("10.0.0.%d", id)
		must("fabricNode", node, "name", name, "role", "controller", "serial", serial, "version", f.opts.Version,
			"address", addr, "model", "APIC-SERVER-M3", "lastStateModTs", boot)
		must("topSystem", node+"/sys", "id", fmt.Sprint(id), "name", name, "role", "controller", "serial", serial, "version", f.opts.Version,
			"address", addr, "oobMgmtAddr", fmt.Sprintf("192.0.2.%d", 10+id), "lastRebootTime", boot, "systemUpTime", "40:00:00:00.000",
			"currentTime", tx.stamp())
		must("firmwareCtrlrRunning", node+"/sys/ctrlrfwstatuscont/ctrlrrunning", "version", f.opts.Version, "ts", boot)
		for j := range f.controllers {
			must("infraWiNode", fmt.Sprintf("%s/av/node-%d", node, j+1), "addr", fmt.Sprintf("10.0.0.%d", j+1),
				"nodeName", fmt.Sprintf("apic%d", j+1), "mbSn", fmt.Sprintf("FCH2%03dV%03d", 100+j, 200+7*j),
				"chassis", fmt.Sprintf("15995807-fa40-11ed-a6dc-f07f063e%04x", 0xfe40+j), "mutnTs", boot)
		}
	}
}

func pairs(kv []string) map[string]string {
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// Controller returns controller i, from 0. It panics if there is none.
func (f *Fabric) Controller(i int) *Controller { return f.controllers[i] }

// Controllers returns how many there are.
func (f *Fabric) Controllers() int { return len(f.controllers) }

// Close ends the fabric: sockets are reset, requests that hang are let go, timers
// stop. It waits until no goroutine of the fabric is left, and may be called again.
// HTTP servers around the controllers are closed by whoever started them.
func (f *Fabric) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.done)
		for _, c := range f.controllers {
			for _, s := range slices.Clone(c.sockets) {
				s.shut(true)
			}
		}
	}
	f.mu.Unlock()
	f.timerMu.Lock()
	for t := range f.timers {
		t.stopLocked()
	}
	f.timerMu.Unlock()
	f.wg.Wait()
}

// after calls fn once after d, on a goroutine of its own, unless stopped before
// or the fabric is closed.
func (f *Fabric) after(d time.Duration, fn func()) *timer {
	t := &timer{f: f}
	f.timerMu.Lock()
	defer f.timerMu.Unlock()
	select {
	case <-f.done:
		return t
	default:
	}
	f.wg.Add(1)
	f.timers[t] = struct{}{}
	t.t = time.AfterFunc(d, func() {
		defer f.wg.Done()
		f.timerMu.Lock()
		delete(f.timers, t)
		f.timerMu.Unlock()
		fn()
	})
	return t
}

func (t *timer) stop() {
	if t == nil {
		return
	}
	t.f.timerMu.Lock()
	defer t.f.timerMu.Unlock()
	t.stopLocked()
}

func (t *timer) stopLocked() {
	if t.t != nil && t.t.Stop() {
		t.f.wg.Done()
	}
	delete(t.f.timers, t)
}

// Object is a copy of a managed object as it is now. Attributes are those that
// an answer shows, without the five that every object has (dn, rn, status,
// childAction, modTs).
type Object struct {
	Class      string
	DN         string
	ModTs      string
	Attributes map[string]string
}

func (n *node) copyOut() Object {
	o := Object{Class: n.cls.name, DN: n.dn, Attributes: make(map[string]string, len(n.cls.names))}
	for k := uint16(keyFirst); int(k) < len(n.cls.names); k++ {
		if v, ok := n.get(k); ok {
			o.Attributes[n.cls.names[k]] = v
		}
	}
	o.ModTs = n.ownModTs()
	if o.ModTs == "" {
		o.ModTs = string(format{zone: time.UTC}.appendTime(nil, n.modTs))
	}
	return o
}

// Object returns what is at a DN; ok is false if nothing is.
func (f *Fabric) Object(dn string) (o Object, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := f.tree.object(dn)
	if n == nil {
		return Object{}, false
	}
	return n.copyOut(), true
}

// Objects returns all objects of a class, or of an abstract class such as
// faultInfo, in the order of their DNs.
func (f *Fabric) Objects(class string) []Object {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []Object
	for _, c := range f.expandLocked(class) {
		for _, n := range f.tree.list(c) {
			out = append(out, n.copyOut())
		}
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.DN, b.DN) })
	return out
}

// Below returns the objects at a DN and below it, of the classes given or of all,
// in the order of their DNs.
func (f *Fabric) Below(dn string, classes ...string) []Object {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := f.tree.nodes[dn]
	if n == nil {
		return nil
	}
	want := map[*class]bool{}
	for _, name := range classes {
		for _, c := range f.expandLocked(name) {
			want[c] = true
		}
	}
	var out []Object
	walk(n, func(n *node) {
		if len(classes) == 0 || want[n.cls] {
			out = append(out, n.copyOut())
		}
	})
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.DN, b.DN) })
	return out
}

// Count returns how many objects of a class there are.
func (f *Fabric) Count(class string) int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n := 0
	for _, c := range f.expandLocked(class) {
		n += len(f.tree.list(c))
	}
	return n
}

// expandLocked returns the concrete classes that a name stands for, nil if it is
// not known.
func (f *Fabric) expandLocked(name string) []*class {
	if members, ok := supers[name]; ok {
		out := make([]*class, len(members))
		for i, m := range members {
			out[i] = f.classes[m]
		}
		return out
	}
	if c := f.classes[name]; c != nil {
		return []*class{c}
	}
	return nil
}

// classLocked returns a class, made if it is new. Only under the write lock.
func (f *Fabric) classLocked(name string) (*class, error) {
	if c := f.classes[name]; c != nil {
		return c, nil
	}
	if !validClass(name) {
		return nil, fmt.Errorf("%q is not the name of a class", name)
	}
	if _, ok := supers[name]; ok {
		return nil, fmt.Errorf("class %s is abstract", name)
	}
	c := newClass(name)
	f.classes[name] = c
	return c, nil
}

func validClass(s string) bool {
	if s == "" || len(s) > 128 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		b := s[i]
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9') {
			return false
		}
	}
	return true
}

// SetPassword changes a user's password (F3), or makes a user. Sessions go on.
func (f *Fabric) SetPassword(user, password string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.passwords[user] = password
}

var errClosed = errors.New("the fabric is closed")
