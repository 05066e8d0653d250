package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/acitap/acitap/apicsim"
)

// A row is what one scenario has measured. A figure that a scenario does not
// have is nil.
type row struct {
	Scenario string `json:"scenario"`
	Server   string `json:"server"` // acitap, or what stands in its place
	Given    bool   `json:"given,omitempty"`
	Clients  int    `json:"clients"`
	Rounds   int    `json:"rounds"`

	Events         int64    `json:"events"`     // of one round
	Deliveries     int64    `json:"deliveries"` // of one round
	Seconds        float64  `json:"seconds"`    // of one round
	EventsPerS     *float64 `json:"eventsPerSecond"`
	DeliveriesPerS *float64 `json:"deliveriesPerSecond"`
	CPUPerEvent    *float64 `json:"cpuMicrosPerEvent"`
	CPUPerDelivery *float64 `json:"cpuMicrosPerDelivery"`
	AllocsPerEvent *float64 `json:"allocationsPerEvent"`
	P50            *float64 `json:"latencyP50Millis"`
	P99            *float64 `json:"latencyP99Millis"`
	Max            *float64 `json:"latencyMaxMillis"`
	RSS            *float64 `json:"rssMB"`
	Peak           *float64 `json:"rssPeakMB"`
	KBPerClient    *float64 `json:"kBPerClient"`
	verdict

	Measured string   `json:"measured"` // the figure beside the target
	Target   string   `json:"target"`
	Met      *bool    `json:"met"`
	Others   string   `json:"forComparison,omitempty"` // given, not measured here
	Notes    []string `json:"notes,omitempty"`
}

func figure(v float64) *float64 { return &v }

func (r *row) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// A bench is one run of the load program.
type bench struct {
	program string // acitap
	size    size
	log     func(format string, args ...any)
}

// A size is how much of everything. The test has a tiny one.
type size struct {
	rounds    int
	burst     int   // events of the ingest scenario
	fanout    int   // clients
	fanned    int   // events to them, of one round
	idle      []int // clients
	consumers int   // that wait
	taken     int   // events taken from a queue, of one round
	selective []int // clients
	unwanted  int   // events
	objects   []int
	single    int     // events to each webhook, of one round
	batched   int     // the same in batches
	seconds   float64 // of what goes by time
}

var standard = size{
	rounds: 5, burst: 100_000, fanout: 1000, fanned: 2000, idle: []int{1000, 10_000}, consumers: 40, taken: 20_000,
	selective: []int{1, 100, 1000}, unwanted: 20_000, objects: []int{100_000}, single: 3000, batched: 40_000, seconds: 4,
}

// A scenario makes rows.
type scenario struct {
	name string
	doc  string
	run  func(*bench, context.Context) ([]row, error)
}

var scenarios = []scenario{
	{"ingest", "a burst of sparse modified events, durable, to one SSE reader", (*bench).ingest},
	{"fan-out", "SSE clients: saturated, at 20 and at 200 events/s", (*bench).fanOut},
	{"idle-clients", "memory of idle SSE clients, and that it is given back", (*bench).idleClients},
	{"next", "a filled queue, one event a request", (*bench).next},
	{"long-poll", "queues of their own that wait for the next event", (*bench).longPoll},
	{"ndjson", "the fan-out in lines of JSON, 200 events/s", (*bench).ndjson},
	{"selective", "events that nobody wants, against the clients that share a selector", (*bench).selective},
	{"snapshot", "many objects: the first list, and a comparison that finds nothing", (*bench).snapshot},
	{"idle", "the service at rest with 10 subscriptions", (*bench).idleService},
	{"webhooks", "single and batched, over 8 endpoints", (*bench).webhooks},
	{"compare", "fan-out and idle clients of nchan and NATS, where they are installed", (*bench).compare},
}

// A rig is a simulator, a service that has subscribed the class, and an emitter.
type rig struct {
	sim  *simulator
	svc  *service
	emit *emitter
}

func (b *bench) rig(ctx context.Context, settings ...string) (*rig, error) {
	return b.rigOf(ctx, objects, settings...)
}

// rigOf is a rig with so many objects.
func (b *bench) rigOf(ctx context.Context, n int, settings ...string) (_ *rig, err error) {
	r := new(rig)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.sim, err = newSimulator(apicsim.Options{}); err != nil {
		return nil, err
	}
	if err := plant(r.sim.Fabric, n); err != nil {
		return nil, err
	}
	if r.svc, err = start(ctx, b.program, r.sim, settings...); err != nil {
		return nil, err
	}
	if err := r.svc.subscribe(ctx, class, patience+time.Duration(n)*time.Millisecond); err != nil {
		return nil, err
	}
	r.emit, err = newEmitter(r.sim, n)
	return r, err
}

func (r *rig) close() error {
	var err error
	if r.svc != nil {
		err = r.svc.stop()
	}
	if r.sim != nil {
		r.sim.close()
	}
	return err
}

// A spent is what one round has taken of the service.
type spent struct {
	wall   time.Duration
	cpu    time.Duration
	allocs float64
	after  usage
}

// settle is how long a round goes on being counted after the last delivery, for
// what the service does behind it.
const settle = 100 * time.Millisecond

// measure runs fn and tells what the service spent on it.
func (s *service) measure(fn func() error) (spent, error) {
	var x spent
	m0, err := s.metrics()
	if err != nil {
		return x, err
	}
	u0, err := s.usage()
	if err != nil {
		return x, err
	}
	begun := time.Now()
	if err := fn(); err != nil {
		return x, err
	}
	x.wall = time.Since(begun)
	time.Sleep(settle)
	if x.after, err = s.usage(); err != nil {
		return x, err
	}
	x.cpu = x.after.CPU - u0.CPU
	m1, err := s.metrics()
	if err != nil {
		return x, err
	}
	const mallocs = "go_memstats_mallocs_total"
	x.allocs = m1[mallocs] - m0[mallocs]
	return x, nil
}

// fill puts the median round into a row.
func (r *row) fill(rounds []spent) {
	slices.SortFunc(rounds, func(a, b spent) int { return int(a.cpu - b.cpu) })
	x := rounds[len(rounds)/2]
	r.Rounds = len(rounds)
	walls := slices.Clone(rounds)
	slices.SortFunc(walls, func(a, b spent) int { return int(a.wall - b.wall) })
	r.Seconds = walls[len(walls)/2].wall.Seconds()
	r.EventsPerS = figure(float64(r.Events) / r.Seconds)
	r.DeliveriesPerS = figure(float64(r.Deliveries) / r.Seconds)
	r.AllocsPerEvent = figure(x.allocs / float64(r.Events))
	if !x.after.Known {
		r.note("CPU time and memory of another process are not available on this system")
		return
	}
	r.CPUPerEvent = figure(micros(x.cpu) / float64(r.Events))
	r.CPUPerDelivery = figure(micros(x.cpu) / float64(r.Deliveries))
	r.RSS = figure(float64(x.after.RSS) / 1e6)
	r.Peak = figure(float64(x.after.Peak) / 1e6)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func (r *row) latencies(h *histogram) {
	r.P50, r.P99, r.Max = figure(h.quantile(0.5)), figure(h.quantile(0.99)), figure(float64(h.max)/1000)
}

// judge takes what was wrong, over all rounds.
func (r *row) judge(p *pool, end int64) {
	v, gaps := p.verdict(end)
	r.verdict.add(v)
	if gaps > 0 {
		r.note("%d gaps came: the service had lost sight of the fabric", gaps)
	}
	if n := p.ended.Load(); n > 0 {
		r.note("%d connections were ended by the server, the last with %v", n, p.reason.Load())
	}
}

// reach says whether the target is met: all of the conditions, and nothing lost.
func (r *row) reach(target string, ok bool, measured string, args ...any) {
	met := ok && r.verdict == verdict{}
	r.Target, r.Met, r.Measured = target, &met, fmt.Sprintf(measured, args...)
}

func at(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

func (b *bench) ingest(ctx context.Context) ([]row, error) {
	rig, err := b.rig(ctx)
	if err != nil {
		return nil, err
	}
	out, err := b.ingestOn(ctx, rig)
	return out, errors.Join(err, rig.close())
}

func (b *bench) ingestOn(ctx context.Context, rig *rig) ([]row, error) {
	n := b.size.burst
	p, err := rig.crowd(ctx, 1, 1, "/events/"+class+"/stream", "text/event-stream", formSSE)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var rounds []spent
	for i := range b.size.rounds + 1 {
		x, err := rig.svc.measure(func() error {
			failed := make(chan error, 1)
			go func() { failed <- rig.emit.emit(ctx, n) }()
			p.await(ctx, int64(n*(i+1)))
			return <-failed
		})
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first warms up
			rounds = append(rounds, x)
			b.log("ingest: %.0f events/s, %.2f µs an event", float64(n)/x.wall.Seconds(), micros(x.cpu)/float64(n))
		} else {
			p.takeTimes()
		}
	}
	r := row{Scenario: fmt.Sprintf("ingest: %s events in one burst, durable, to one SSE reader", thousands(n)), Server: "acitap", Clients: 1,
		Events: int64(n), Deliveries: int64(n), Others: "acitoolkit 22,800/s at 44 µs, not durable"}
	r.fill(rounds)
	r.latencies(p.takeTimes())
	r.judge(p.pool, rig.emit.number)
	r.reach("100,000 events/s, at most 10 µs", at(r.EventsPerS) >= 100_000 && at(r.CPUPerEvent) <= 10,
		"%s events/s, %.1f µs", thousands(int(at(r.EventsPerS))), at(r.CPUPerEvent))
	return []row{r}, nil
}
