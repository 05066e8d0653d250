package eventlog

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
)

func TestMemoryIsBounded(t *testing.T) {
	m := Memory(Options{Entries: 100})
	for i := range 30 {
		if _, err := m.Append(t.Context(), batchOf(7, i)); err != nil {
			t.Fatal(err)
		}
	}
	b := m.Bounds()
	if b.Newest-b.Floor != 100 || b.Newest-b.Origin != 210 {
		t.Errorf("bounds are %+v, want 100 of 210 entries held", b)
	}
	objects := 0
	saved, err := m.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range saved.Objects {
		objects++
	}
	if objects != 7 {
		t.Errorf("%d objects are held, want 7", objects)
	}
}

func TestMemoryInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Memory(Options{Retention: time.Hour})
		if got, want := m.Bounds().Origin, apic.FirstID(time.Now()); got != want {
			t.Errorf("it begins at %d, want %d", got, want)
		}
		for range 10 {
			if _, err := m.Append(t.Context(), batchOf(1, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if _, err := m.Append(t.Context(), batchOf(1, 1)); err != nil {
			t.Fatal(err)
		}
		if b := m.Bounds(); b.Newest-b.Floor != 7 {
			t.Errorf("%d entries are held, want those of the last hour, 7", b.Newest-b.Floor)
		}
	})
}

func TestMemoryFails(t *testing.T) {
	m := Memory(Options{})
	full := fmt.Errorf("%w (as told)", ErrFull)
	m.Fail(func() error { return full })
	before := m.Bounds()
	if _, err := m.Append(t.Context(), batchOf(1, 1)); !errors.Is(err, ErrFull) {
		t.Errorf("Append: %v", err)
	}
	if err := m.SavePosition(t.Context(), apic.Position{}); !errors.Is(err, ErrFull) {
		t.Errorf("SavePosition: %v", err)
	}
	if !reflect.DeepEqual(m.Bounds(), before) {
		t.Errorf("bounds went from %+v to %+v", before, m.Bounds())
	}
	m.Fail(nil)
	if _, err := m.Append(t.Context(), batchOf(1, 1)); err != nil {
		t.Errorf("Append afterwards: %v", err)
	}
}
