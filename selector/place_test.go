package selector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
)

func TestPlace(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	log := stubLog{apic.Bounds{Origin: 1000, Floor: 2000, Newest: 3000}, now}
	for _, tt := range []struct {
		in, canonical string
		since, until  string
	}{
		{"latest", "latest", "3000", "3000"},
		{"earliest", "earliest", "2000", "2000"},
		{"2500", "2500", "2500", "2500"},
		{"2000", "2000", "2000", "2000"},
		{"3000", "3000", "3000", "3000"},
		{"1999", "1999", "retention", "retention"},
		{"1000", "1000", "retention", "retention"},
		{"999", "999", "unknown-id", "unknown-id"},
		{"0", "0", "unknown-id", "unknown-id"},
		{"3001", "3001", "unknown-id", "3000"},
		{"15m", "15m0s", "2984", "2985"},
		{"0s", "0s", "2999", "3000"},
		{"1h30m", "1h30m0s", "2909", "2910"},
		{"1d", "24h0m0s", "2000", "2000"},
		{"2w", "336h0m0s", "2000", "2000"},
		{"0.5h", "30m0s", "2969", "2970"},
		{"2026-11-24T11:45:00Z", "2026-11-24T11:45:00Z", "2984", "2985"},
		{"2026-11-24T11:45:00.5Z", "2026-11-24T11:45:00.5Z", "2985", "2985"},
		{"2026-11-24T12:45:00+01:00", "2026-11-24T11:45:00Z", "2984", "2985"},
		{"2026-11-24T12:45:00 01:00", "2026-11-24T11:45:00Z", "2984", "2985"}, // a + that a URL made a space
		{"2026-11-24", "2026-11-24T00:00:00Z", "2279", "2280"},
		{"1999-01-01", "1999-01-01T00:00:00Z", "2000", "2000"},
		{"2099-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "3000", "3000"},
	} {
		p, err := ParsePlace(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if p.String() != tt.canonical {
			t.Errorf("%s: got %s, want %s", tt.in, p, tt.canonical)
		}
		resolved := func(id apic.ID, err error) string {
			if gone, ok := errors.AsType[*apic.GoneError](err); ok {
				return gone.Reason
			}
			return After(id).String()
		}
		if got := resolved(p.Resolve(t.Context(), now, log)); got != tt.since {
			t.Errorf("since=%s: got %s, want %s", tt.in, got, tt.since)
		}
		if got := resolved(p.ResolveUntil(t.Context(), now, log)); got != tt.until {
			t.Errorf("until=%s: got %s, want %s", tt.in, got, tt.until)
		}
	}
	if id, ok := After(7).ID(); id != 7 || !ok {
		t.Errorf("got %d, %t", id, ok)
	}
	if !Latest().IsLatest() || (Place{}) != Latest() || Earliest().IsLatest() {
		t.Error("the zero place is not the latest")
	}
}

func TestPlaceMistakes(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "is empty: write an id"},
		{"lastest", "did you mean latest?"},
		{"Earliest", "did you mean earliest?"},
		{"yesterday", "is no place: write an id (1763956931004711), an age (15m, 24h, 7d), a time"},
		{"-5m", "is no place"},
		{"5", ""},
		{"5 m", "is no place"},
		{"9007199254740992", "is no event id"},
		{"2026-13-24T03:42:11Z", "is no time that exists"},
		{"2026-11-24T03:42:11", "write date, T, time and zone"},
		{"2026-11-24 03:42:11", "write date, T, time and zone"},
	} {
		_, err := ParsePlace(tt.in)
		if tt.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.in, err, tt.want)
		}
	}
}

type brokenLog struct{ stubLog }

var errBroken = errors.New("broken")

func (brokenLog) IDAt(context.Context, time.Time) (apic.ID, error) { return 0, errBroken }

func TestPlaceOfBrokenLog(t *testing.T) {
	_, err := At(time.Unix(0, 0)).Resolve(t.Context(), time.Now(), brokenLog{})
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "1970-01-01T00:00:00Z") {
		t.Errorf("got %v", err)
	}
}

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want time.Duration // -1 for refused
		text string
	}{
		{"30s", 30 * time.Second, ""},
		{"1m30s", 90 * time.Second, ""},
		{"250ms", 250 * time.Millisecond, ""},
		{"1.5m", 90 * time.Second, ""},
		{"1.000000001s", time.Second + 1, ""},
		{".5m", 30 * time.Second, ""},
		{"0s", 0, ""},
		{"61m", -1, "is out of range: it goes from 0s to 1h"},
		{"1d", -1, "is out of range"},
		{"30", -1, "is no duration: write a number and a unit of w, d, h, m, s or ms"},
		{"", -1, "is no duration"},
		{"s", -1, "is no duration"},
		{".s", -1, "is no duration"},
		{"1.2.3s", -1, "is no duration"},
		{"1H", -1, "is no duration"},
		{"-1s", -1, "is no duration"},
		{"1s ", -1, "is no duration"},
		{"99999999999999999999s", -1, "is no duration"},
		{"9277002102072700000h", -1, "is no duration"}, // wraps around 2^63
		{"9999999999s", -1, "is too long"},
		{strings.Repeat("99w", 60), -1, "is too long"},
	} {
		got, err := ParseDuration(tt.in, 0, time.Hour)
		switch {
		case tt.want < 0 && (err == nil || !strings.Contains(err.Error(), tt.text)):
			t.Errorf("%q: got %s, %v, want %s", tt.in, got, err, tt.text)
		case tt.want >= 0 && (err != nil || got != tt.want):
			t.Errorf("%q: got %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	if _, err := ParseDuration("1s", 90*time.Second, time.Hour); err == nil || !strings.Contains(err.Error(), "from 1m30s to 1h") {
		t.Error(err)
	}
}
