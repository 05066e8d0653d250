package webhook

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics count for all endpoints together; what belongs to one endpoint is
// collected from it, so that it goes with it.
type metrics struct {
	requests  *prometheus.HistogramVec
	refused   prometheus.Counter
	overtaken prometheus.Counter
}

func newMetrics(r prometheus.Registerer, s *Service) *metrics {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "acitap", Name: "webhook_request_seconds",
			Help: "How long requests to receivers took, by what came of them.", Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 15}}, []string{"result"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Name: "webhook_targets_refused_total",
			Help: "Requests not sent because of the address that they would have gone to."}),
		overtaken: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Name: "webhook_overtaken_total",
			Help: "Times that retention removed events before a webhook had sent them; its receiver was told of the gap."}),
	}
	for _, result := range []string{"success", "failure", "none"} {
		m.requests.WithLabelValues(result)
	}
	if r != nil {
		r.MustRegister(m.requests, m.refused, m.overtaken, collector{s})
	}
	return m
}

func (m *metrics) observe(o *outcome) {
	result := "success"
	switch {
	case o.status == 0:
		result = "none"
	case o.why() != "":
		result = "failure"
	}
	m.requests.WithLabelValues(result).Observe(o.duration.Seconds())
}

// A collector shows the endpoints as they are when somebody asks.
type collector struct{ s *Service }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("acitap_webhook_"+name, help, append([]string{"webhook", "name"}, labels...), nil)
}

var (
	descState     = desc("state", "1 for the state that the webhook is in.", "state")
	descLag       = desc("lag_entries", "Entries of the timeline behind the webhook's place, wanted or not.")
	descBehind    = desc("lag_seconds", "Age of the event that the webhook is about to send, 0 when there is none.")
	descAttempts  = desc("attempts_total", "Requests in turn, by what came of them.", "result")
	descDelivered = desc("events_total", "Events and gaps that the receiver took.")
	descSkipped   = desc("skipped_total", "Events of which the webhook's template made nothing.")
)

// Describe implements [prometheus.Collector].
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descState, descLag, descBehind, descAttempts, descDelivered, descSkipped} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	type counts struct {
		View
		successes, failures int64
	}
	c.s.mu.Lock()
	list := make([]counts, 0, len(c.s.endpoints))
	for _, e := range c.s.endpoints {
		list = append(list, counts{e.viewLocked(), e.state.Successes, e.state.Failures})
	}
	c.s.mu.Unlock()
	for i := range list {
		v := &list[i]
		metric := func(d *prometheus.Desc, t prometheus.ValueType, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, t, value, append([]string{v.ID, v.Name}, labels...)...)
		}
		for _, state := range []string{Active, Failing, Disabled} {
			is := 0.0
			if v.State == state {
				is = 1
			}
			metric(descState, prometheus.GaugeValue, is, state)
		}
		metric(descLag, prometheus.GaugeValue, float64(v.Lag))
		metric(descBehind, prometheus.GaugeValue, v.Behind.Seconds())
		metric(descAttempts, prometheus.CounterValue, float64(v.successes), "success")
		metric(descAttempts, prometheus.CounterValue, float64(v.failures), "failure")
		metric(descDelivered, prometheus.CounterValue, float64(v.Delivered))
		metric(descSkipped, prometheus.CounterValue, float64(v.Skipped))
	}
}
