package selector

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/acitap/acitap/apic"
)

// A Place is where on the timeline a reader asks to begin or to end: behind an
// id, an age ago, at a time, or at either end. The zero value is the newest
// end. A Place is a value; what id it stands for, [Place.Resolve] says.
type Place struct {
	kind placeKind
	id   apic.ID
	age  time.Duration
	at   time.Time
}

type placeKind int

const (
	latest placeKind = iota
	earliest
	byID
	byAge
	byTime
)

// Earliest is the place before the oldest entry that is held.
func Earliest() Place { return Place{kind: earliest} }

// Latest is the place behind the newest entry: the zero value.
func Latest() Place { return Place{} }

// After is the place behind an id.
func After(id apic.ID) Place { return Place{kind: byID, id: id} }

// At is the place of a time.
func At(t time.Time) Place { return Place{kind: byTime, at: t} }

// A Log is what a place needs of a journal or of the hub.
type Log interface {
	// Bounds returns where the log begins and ends.
	Bounds() apic.Bounds
	// IDAt returns the largest id of an entry written before t, or the floor.
	IDAt(ctx context.Context, t time.Time) (apic.ID, error)
}

const placeForms = "write an id (1763956931004711), an age (15m, 24h, 7d), a time (2026-11-24T03:42:11Z), earliest or latest"

// ParsePlace reads what since=, until= and at= hold: an id, an age, a time in
// RFC 3339 (or a date, which begins at midnight UTC), earliest or latest. The
// error is one sentence without the parameter's name.
func ParsePlace(s string) (Place, error) {
	switch {
	case s == "":
		return Place{}, fmt.Errorf("is empty: %s, or leave it out", placeForms)
	case s == "latest":
		return Latest(), nil
	case s == "earliest":
		return Earliest(), nil
	case strings.Trim(s, "0123456789") == "":
		id, err := apic.ParseID(s)
		if err != nil {
			return Place{}, err
		}
		return After(id), nil
	}
	if t, ok := parseTime(s); ok {
		return At(t), nil
	}
	if age, err := parseDuration(s); err == nil {
		return Place{kind: byAge, age: age}, nil
	}
	if word := nearest(s, []string{"earliest", "latest"}); word != "" {
		return Place{}, fmt.Errorf("%.60q is no place: did you mean %s?", s, word)
	}
	if len(s) >= len("2006-01-02T") && strings.Count(s, "-") >= 2 && s[0] >= '0' && s[0] <= '9' {
		return Place{}, fmt.Errorf("%.60q is no time that exists: write date, T, time and zone, as 2026-11-24T03:42:11Z or 2026-11-24T04:42:11+01:00 (a + in a URL is %%2B)", s)
	}
	return Place{}, fmt.Errorf("%.60q is no place: %s", s, placeForms)
}

// parseTime reads a time in RFC 3339 or a date. The + of a zone that came
// through a URL unescaped is a space.
func parseTime(s string) (time.Time, bool) {
	if at := len(s) - len(" 01:00"); at > 0 && s[at] == ' ' {
		s = s[:at] + "+" + s[at+1:]
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), true
	}
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil
}

// String returns the place as ParsePlace reads it.
func (p Place) String() string {
	switch p.kind {
	case earliest:
		return "earliest"
	case byID:
		return fmt.Sprint(int64(p.id))
	case byAge:
		return p.age.String()
	case byTime:
		return p.at.UTC().Format(time.RFC3339Nano)
	}
	return "latest"
}

// IsLatest reports whether the place is the newest end, whatever that is by now.
func (p Place) IsLatest() bool { return p.kind == latest }

// ID returns the id that the place was written as, and whether it was.
func (p Place) ID() (apic.ID, bool) { return p.id, p.kind == byID }

// Resolve returns the id behind which a reader begins that asks for since=p:
// what it is to see are the entries with larger ids. An age or a time means
// the entries written at that moment and later; one older than the log is its
// floor, one in the future the newest id. For an id that the log cannot go on
// from it returns the *[apic.GoneError] of [apic.Bounds.Check]. Any other error
// is the log's.
func (p Place) Resolve(ctx context.Context, now time.Time, log Log) (apic.ID, error) {
	b := log.Bounds()
	switch p.kind {
	case earliest:
		return b.Floor, nil
	case byID:
		if err := b.Check(p.id); err != nil {
			return 0, err
		}
		return p.id, nil
	case byAge:
		return idAt(ctx, now.Add(-p.age), now, log)
	case byTime:
		return idAt(ctx, p.at, now, log)
	}
	return b.Newest, nil
}

// ResolveUntil returns the largest id that a reader is to see who asks for
// until=p or at=p: an id itself, everything written up to and at a time. An id
// above the newest is the newest, as all up to it is there; one below the
// floor is gone as in [Place.Resolve]. A time before the log is its floor:
// nothing is left of what was then.
func (p Place) ResolveUntil(ctx context.Context, now time.Time, log Log) (apic.ID, error) {
	const tick = time.Microsecond // times of entries are whole ones
	switch p.kind {
	case byID:
		b := log.Bounds()
		if p.id >= b.Newest {
			return b.Newest, nil
		}
		return p.id, b.Check(p.id)
	case byAge:
		return idAt(ctx, now.Add(tick-p.age), now, log)
	case byTime:
		return idAt(ctx, p.at.Add(tick), now, log)
	}
	return p.Resolve(ctx, now, log)
}

func idAt(ctx context.Context, t, now time.Time, log Log) (apic.ID, error) {
	if t.After(now) {
		return log.Bounds().Newest, nil
	}
	id, err := log.IDAt(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("find the entries of %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	// Retention and appends may have moved the bounds meanwhile.
	b := log.Bounds()
	return min(max(id, b.Floor), b.Newest), nil
}

// maxDuration is beyond any retention and any wait.
const maxDuration = 100 * 365 * 24 * time.Hour

var units = []struct {
	name string
	size time.Duration
}{
	{"ns", time.Nanosecond}, {"us", time.Microsecond}, {"µs", time.Microsecond}, {"ms", time.Millisecond},
	{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}, {"w", 7 * 24 * time.Hour},
}

// ParseDuration reads a duration from low to high as wait=30s or timeout=1h
// hold it: numbers with a unit, w, d, h, m, s, ms, us or ns, one behind the
// other (1h30m). The error is one sentence without the parameter's name.
func ParseDuration(s string, low, high time.Duration) (time.Duration, error) {
	d, err := parseDuration(s)
	if err != nil {
		return 0, err
	}
	if d < low || d > high {
		return 0, fmt.Errorf("%.60q is out of range: it goes from %s to %s", s, short(low), short(high))
	}
	return d, nil
}

// short writes 1h for 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func parseDuration(s string) (time.Duration, error) {
	refuse := func() (time.Duration, error) {
		return 0, fmt.Errorf("%.60q is no duration: write a number and a unit of w, d, h, m, s or ms, as 30s, 1h30m or 7d", s)
	}
	rest := s
	if rest == "" {
		return refuse()
	}
	var sum time.Duration
	for rest != "" {
		// The whole part, then what a fraction adds, in units of scale.
		var whole, fraction, scale int64 = 0, 0, 1
		digits, point := 0, false
		i := 0
		for ; i < len(rest); i++ {
			c := rest[i]
			if c == '.' && !point {
				point = true
				continue
			}
			if c < '0' || c > '9' {
				break
			}
			digits++
			switch {
			case !point:
				if whole > int64(maxDuration)/10 { // or it would wrap around
					return refuse()
				}
				whole = whole*10 + int64(c-'0')
			case scale < 1e9: // finer digits are below a nanosecond of a second
				fraction = fraction*10 + int64(c-'0')
				scale *= 10
			}
		}
		rest = rest[i:]
		letters := strings.IndexFunc(rest, func(r rune) bool { return r == '.' || r >= '0' && r <= '9' })
		if letters < 0 {
			letters = len(rest)
		}
		var size time.Duration
		for _, u := range units {
			if u.name == rest[:letters] {
				size = u.size
			}
		}
		if digits == 0 || size == 0 {
			return refuse()
		}
		rest = rest[letters:]
		if whole > int64(maxDuration/size) {
			return 0, fmt.Errorf("%.60q is too long: at most 100 years", s)
		}
		// The fraction is below 1, so what it makes is below size and fits.
		high, low := bits.Mul64(uint64(fraction), uint64(size))
		part, _ := bits.Div64(high, low, uint64(scale))
		sum += time.Duration(whole)*size + time.Duration(part)
		if sum > maxDuration {
			return 0, fmt.Errorf("%.60q is too long: at most 100 years", s)
		}
	}
	return sum, nil
}
