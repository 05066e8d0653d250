package handlers

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/acitap/acitap/apic"
)

// Why something was refused, as acitap_http_refusals_total counts it.
const (
	refusedInFlight  = "in-flight"    // 429: too many requests of one caller
	refusedStreams   = "streams"      // 429: too many streams
	refusedSignin    = "signin"       // 429: too many attempts to sign in
	refusedBody      = "body-size"    // 413
	refusedURL       = "url-length"   // 414
	refusedToken     = "token"        // 401: no token, or one that is not let in
	refusedRole      = "role"         // 403: a reader who would change something
	refusedCrossSite = "cross-site"   // 403: a browser on behalf of another site
	refusedHost      = "host"         // 403: a name that is not this service's
	refusedURLToken  = "token-in-url" // 400
)

var refusedReasons = []string{
	refusedInFlight, refusedStreams, refusedSignin, refusedBody, refusedURL, refusedToken, refusedRole, refusedCrossSite, refusedHost, refusedURLToken,
}

// How events are delivered.
const (
	viaStream = "stream"
	viaQueue  = "queue"
	viaWait   = "wait"
)

type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	refusals  *prometheus.CounterVec
	delivered *prometheus.CounterVec
	dropped   prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, s *server) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Subsystem: "http", Name: "requests_total",
			Help: "Requests that were answered to the end, by route, method and class of the status."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "acitap", Subsystem: "http", Name: "request_duration_seconds",
			Help:    "From a request to the beginning of its answer. A long poll waits for an event.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60}}, []string{"route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Subsystem: "http", Name: "refusals_total",
			Help: "Requests refused for who sends them or for how much they ask, by reason."}, []string{"reason"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Name: "events_delivered_total",
			Help: "Entries of the timeline written to a stream, handed out by a queue, or answered by /wait."}, []string{"via"}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Name: "streams_dropped_total",
		Help: "Streams cut off because their reader took nothing for 30 s while there was something to write."})
	for _, reason := range refusedReasons {
		m.refusals.WithLabelValues(reason)
	}
	for _, via := range []string{viaStream, viaQueue, viaWait} {
		m.delivered.WithLabelValues(via)
	}
	if registerer != nil {
		gauge := func(name, help string, f func() float64) prometheus.Collector {
			return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "acitap", Name: name, Help: help}, f)
		}
		registerer.MustRegister(m.requests, m.duration, m.refusals, m.delivered, m.dropped, newHubCollector(s.hub),
			gauge("streams_open", "Streams that are open.", func() float64 { _, n := s.limits.open(); return float64(n) }),
			gauge("streams_catching_up", "Streams behind the newest entry: they read what is older, or are slow to take it.", func() float64 { return float64(s.fanout.CatchingUp()) }),
			gauge("http_requests_in_flight", "Requests under way, streams and probes left out.", func() float64 { n, _ := s.limits.open(); return float64(n) }),
			gauge("page_sessions", "Browsers that are signed in.", func() float64 { return float64(s.signed.count()) }))
	}
	return m
}

// answered counts a request that has come to its end.
func (m *metrics) answered(w *response, r *http.Request) {
	method, code := r.Method, "none" // hung up before there was an answer
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodPut:
	default:
		method = "other"
	}
	if w.status != 0 {
		code = strconv.Itoa(w.status/100) + "xx"
		m.began(w)
	}
	m.requests.WithLabelValues(routeOf(w), method, code).Inc()
}

// began counts the time to the beginning of an answer.
func (m *metrics) began(w *response) {
	m.duration.WithLabelValues(routeOf(w)).Observe(w.began.Sub(w.begun).Seconds())
}

func routeOf(w *response) string { return cmp.Or(w.route, "none") }

// A hubCollector asks the hub when somebody scrapes.
type hubCollector struct {
	hub Hub

	subscriptions, queued, consumers, lag, state, proof, frame *prometheus.Desc
}

func newHubCollector(hub Hub) *hubCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("acitap_"+name, help, labels, nil)
	}
	return &hubCollector{
		hub:           hub,
		subscriptions: desc("subscriptions", "Subscriptions by state.", "fabric", "state"),
		queued:        desc("queue_pending_events", "Events that a class's own queue has still to hand out.", "class"),
		consumers:     desc("consumers", "Consumers that have a queue of their own of the class.", "class"),
		lag:           desc("consumer_lag_events_max", "Events that the consumer furthest behind has not taken; GET /events/{class}/consumers says which it is.", "class"),
		state:         desc("session_state", "1 for the state that the session with the fabric is in.", "fabric", "state"),
		frame:         desc("session_last_frame_timestamp_seconds", "When the APIC last sent anything over the socket.", "fabric"),
		proof:         desc("session_last_proof_of_life_timestamp_seconds", "When the APIC last proved that it pushes.", "fabric"),
	}
}

// Describe implements [prometheus.Collector].
func (c *hubCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.subscriptions, c.queued, c.consumers, c.lag, c.state, c.frame, c.proof} {
		ch <- d
	}
}

const (
	scrapeTime    = 5 * time.Second
	scrapeClasses = 500 // that have series of their own
)

// Collect implements [prometheus.Collector]. Names of consumers are their
// owners' choice, without bound, so a class has the number of them and the lag of
// the last.
func (c *hubCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range c.hub.Sessions() {
		for _, state := range []apic.SessionState{apic.Connecting, apic.Connected, apic.Backoff, apic.Refused} {
			v := 0.0
			if s.State == state {
				v = 1
			}
			gauge(c.state, v, s.Name, string(state))
		}
		for d, t := range map[*prometheus.Desc]time.Time{c.frame: s.LastFrameAt, c.proof: s.LastProof} {
			if !t.IsZero() {
				gauge(d, float64(t.UnixMilli())/1000, s.Name)
			}
		}
	}
	type key struct {
		fabric string
		state  apic.State
	}
	counts := make(map[key]int)
	for _, fabric := range c.hub.Fabrics() {
		for _, state := range []apic.State{apic.Pending, apic.Active, apic.Failed} {
			counts[key{fabric, state}] = 0
		}
	}
	var classes []apic.Class
	for _, s := range c.hub.Subscriptions(ctx) {
		counts[key{s.Fabric, s.State}]++
		classes = append(classes, concrete(s.Query.Classes())...)
	}
	for k, n := range counts {
		gauge(c.subscriptions, float64(n), k.fabric, string(k.state))
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	for _, class := range classes[:min(len(classes), scrapeClasses)] {
		own := []apic.Class{class}
		if n, err := c.hub.PendingEvents(ctx, own, ""); err == nil {
			gauge(c.queued, float64(n), string(class))
		}
		list, err := c.hub.Consumers(ctx, own)
		if err != nil || len(list) == 0 {
			continue
		}
		var most int64
		for _, one := range list {
			most = max(most, one.Pending)
		}
		gauge(c.consumers, float64(len(list)), string(class))
		gauge(c.lag, float64(most), string(class))
	}
}

// scrape returns GET /metrics.
func scrape(g prometheus.Gatherer) handler {
	if g == nil {
		g = prometheus.NewRegistry()
	}
	// What cannot be gathered is left out: the rest is worth having.
	h := promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	return func(w *response, r *http.Request) error {
		p, err := queryParams(r)
		if err != nil {
			return err
		}
		p.known["name[]"] = true // promhttp reads it: only the metrics of these names
		if err := p.err(); err != nil {
			return err
		}
		h.ServeHTTP(w, r)
		return nil
	}
}
