package apic

import "github.com/prometheus/client_golang/prometheus"

// metrics count what the hub does. Whatever is left out, retried or found late
// is counted.
type metrics struct {
	frames     prometheus.Counter
	malformed  prometheus.Counter
	skipped    prometheus.Counter
	strays     prometheus.Counter
	duplicates prometheus.Counter
	events     *prometheus.CounterVec
	gaps       *prometheus.CounterVec
	reconnects prometheus.Counter
	connected  prometheus.Gauge
	batch      prometheus.Histogram

	// counters are events' children by their labels, owned by apply, which
	// looks one up for each event.
	counters map[eventLabels]prometheus.Counter
}

type eventLabels struct {
	class  Class
	status Status
	origin Origin
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Name: name, Help: help})
	}
	m := &metrics{
		frames:     counter("frames_total", "Messages read from the APIC's socket that name a subscription."),
		malformed:  counter("frames_malformed_total", "Messages of the socket that could not be read and were left out."),
		skipped:    counter("frame_elements_skipped_total", "Elements of messages that are no object and were left out."),
		strays:     counter("frames_unknown_total", "Messages that named no known subscription until they were given up."),
		duplicates: counter("changes_duplicate_total", "Changes that said what was known already and became no event."),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Name: "events_total",
			Help: "Events put on the timeline."}, []string{"class", "status", "origin"}),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Name: "gaps_total",
			Help: "Gaps put on the timeline, by reason."}, []string{"reason"}),
		reconnects: counter("session_reconnects_total", "Sessions opened after the first."),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "acitap", Name: "session_connected",
			Help: "1 while a session with the APIC is up."}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "acitap", Name: "batch_entries",
			Help: "Entries that became durable together.", Buckets: []float64{1, 10, 100, 1000, 10000}}),
		counters: make(map[eventLabels]prometheus.Counter),
	}
	for _, reason := range []string{ReasonConnection, ReasonRestart, ReasonLapsed, ReasonSilent, ReasonSwitch, ReasonMissed, ReasonReconcile, ReasonLog} {
		m.gaps.WithLabelValues(reason)
	}
	if r != nil {
		r.MustRegister(m.frames, m.malformed, m.skipped, m.strays, m.duplicates, m.events, m.gaps, m.reconnects, m.connected, m.batch)
	}
	return m
}

func (m *metrics) event(e *Event) {
	l := eventLabels{e.Class, e.Status, e.Origin}
	c := m.counters[l]
	if c == nil {
		c = m.events.WithLabelValues(string(e.Class), string(e.Status), string(e.Origin))
		m.counters[l] = c
	}
	c.Inc()
}

func (m *metrics) appended(b *Batch) {
	if len(b.Entries) > 0 {
		m.batch.Observe(float64(len(b.Entries)))
	}
}
