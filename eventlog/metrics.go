package eventlog

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the log does.
type metrics struct {
	entries  prometheus.Counter
	failures *prometheus.CounterVec
	append   prometheus.Histogram
	removed  prometheus.Counter
}

func newMetrics(r prometheus.Registerer, l *Log) (*metrics, error) {
	m := &metrics{
		entries: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Subsystem: "log", Name: "entries_total",
			Help: "Entries made durable."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "acitap", Subsystem: "log", Name: "failures_total",
			Help: "Transactions that failed and took nothing with them, by reason: full is a full disk."}, []string{"reason"}),
		append: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "acitap", Subsystem: "log", Name: "append_seconds",
			Help: "What one batch took until it was durable.", Buckets: []float64{.0001, .001, .01, .1, 1, 10}}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "acitap", Subsystem: "log", Name: "removed_total",
			Help: "Entries that retention took."}),
	}
	for _, reason := range []string{"full", "other"} {
		m.failures.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "acitap", Subsystem: "log", Name: name, Help: help}, f)
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.entries, m.failures, m.append, m.removed,
		gauge("used_bytes", "What the database uses of its file, as last looked at.", func() float64 { return float64(l.used.Load()) }),
		gauge("wal_bytes", "What the write-ahead log holds after the last transaction.", func() float64 { return float64(l.pages.Load() * pageSize) }),
		gauge("newest_id", "The id of the newest entry.", func() float64 { return float64(l.Bounds().Newest) }),
		gauge("floor_id", "The last id that retention took.", func() float64 { return float64(l.Bounds().Floor) }),
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) appended(n int, took time.Duration) {
	m.entries.Add(float64(n))
	m.append.Observe(took.Seconds())
}

func (m *metrics) failed(err error) {
	reason := "other"
	if errors.Is(err, ErrFull) {
		reason = "full"
	}
	m.failures.WithLabelValues(reason).Inc()
}
