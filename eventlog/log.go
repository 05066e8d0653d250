package eventlog

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say where a log lies and how much of the timeline it holds.
type Options struct {
	// Dir is the directory of the log. It is made when it is not there.
	Dir string
	// Retention is the age at which entries are removed, 0 for never.
	Retention time.Duration
	// RetentionBytes bounds what the database uses of its file; the oldest
	// entries go when it is more. 0 for no bound.
	RetentionBytes int64
	// Entries bounds a [MemoryLog]; 0 is 100,000.
	Entries int
	// Logger takes what an operator should know; nil is silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Now tells the time; nil is time.Now.
	Now func() time.Time
}
