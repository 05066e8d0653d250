package apic_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/apicsim"
)

// taken takes everything that a queue has.
func taken(t *testing.T, h *apic.Hub, o apic.NextOptions, classes ...apic.Class) []apic.ID {
	t.Helper()
	var ids []apic.ID
	for {
		got, err := h.Next(t.Context(), classes, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Events) == 0 {
			return ids
		}
		for _, e := range got.Events {
			ids = append(ids, e.ID)
		}
	}
}

func TestNextGivesEachEventToOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		for i := range 200 {
			r.fabric.Modify("uni/tn-common", map[string]string{"descr": fmt.Sprint(i)})
		}
		r.quiet()
		var mu sync.Mutex
		seen := make(map[apic.ID]int)
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				last := apic.ID(0)
				for {
					got, err := r.hub.Next(t.Context(), []apic.Class{"fvTenant"}, apic.NextOptions{Max: 1 + n%3})
					if err != nil {
						t.Error(err)
						return
					}
					if len(got.Events) == 0 {
						return
					}
					mu.Lock()
					for _, e := range got.Events {
						seen[e.ID]++
						if e.ID <= last {
							t.Errorf("one caller got %d after %d", e.ID, last)
						}
						last = e.ID
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 203 {
			t.Errorf("%d different events were taken, want 3 of the snapshot and 200", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("event %d was handed out %d times", id, n)
			}
		}
	})
}

func TestQueuesAndConsumersKeepTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		classes := []apic.Class{"fvTenant"}
		own := taken(t, r.hub, apic.NextOptions{Max: 2}, classes...)
		if len(own) != 3 {
			t.Fatalf("the class's own queue gave %d events, want the snapshot of 3", len(own))
		}
		if n := len(taken(t, r.hub, apic.NextOptions{Consumer: "new"}, classes...)); n != 0 {
			t.Errorf("a new consumer got %d events, want none: it begins with the next", n)
		}
		floor := r.hub.Bounds().Floor
		if got := taken(t, r.hub, apic.NextOptions{Consumer: "old", Begin: &floor}, classes...); !slices.Equal(got, own) {
			t.Errorf("a consumer from the beginning got %v, want %v", got, own)
		}
		r.fabric.Create("fvTenant", "uni/tn-a", nil)
		r.fabric.Create("fvTenant", "uni/tn-b", nil)
		r.quiet()
		if got, err := r.hub.Next(t.Context(), classes, apic.NextOptions{Consumer: "new"}); err != nil || len(got.Events) != 1 || got.Events[0].Event.DN != "uni/tn-a" {
			t.Fatalf("got %v, %v", got, err)
		}
		r.stop()
		r.start()
		if got, err := r.hub.Next(t.Context(), classes, apic.NextOptions{Consumer: "new"}); err != nil || len(got.Events) != 1 || got.Events[0].Event.DN != "uni/tn-b" {
			t.Errorf("after a restart the consumer got %v, %v; want uni/tn-b", got, err)
		}
		if n, err := r.hub.PendingEvents(t.Context(), classes, ""); err != nil || n != 2 {
			t.Errorf("pending is %d, %v; want 2", n, err)
		}
		list, err := r.hub.Consumers(t.Context(), classes)
		if err != nil || len(list) != 2 || list[0].Consumer != "new" || list[0].Pending != 0 || list[1].Pending != 2 {
			t.Errorf("consumers are %+v, %v", list, err)
		}
		if err := r.hub.DeleteConsumer(t.Context(), classes, "new"); err != nil {
			t.Error(err)
		}
		if err := r.hub.DeleteConsumer(t.Context(), classes, "new"); !errors.Is(err, apic.ErrNotFound) {
			t.Errorf("deleting it again: %v, want ErrNotFound", err)
		}
		if _, err := r.hub.Next(t.Context(), []apic.Class{"fvBD"}, apic.NextOptions{}); !errors.Is(err, apic.ErrNotSubscribed) {
			t.Errorf("class that is not subscribed: %v", err)
		}
	})
}

func TestAckedEventsComeAgainUntilAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		floor := r.hub.Bounds().Floor
		next := func(ack apic.ID) []*apic.Entry {
			got, err := r.hub.Next(t.Context(), []apic.Class{"fvTenant"}, apic.NextOptions{Consumer: "c", Max: 2, Ack: true, Acked: ack, Begin: &floor})
			if err != nil {
				t.Fatal(err)
			}
			return got.Events
		}
		first := next(0)
		if again := next(0); len(first) != 2 || again[0].ID != first[0].ID {
			t.Fatalf("got %d events and then %d", first[0].ID, again[0].ID)
		}
		r.stop()
		r.start()
		if again := next(0); again[0].ID != first[0].ID {
			t.Error("after a restart the unacked event does not come again")
		}
		if rest := next(first[0].ID); rest[0].ID != first[1].ID {
			t.Error("acking one event did not move to the next")
		}
		if rest := next(first[1].ID); len(rest) != 1 {
			t.Errorf("got %d events after acking two of three", len(rest))
		}
		_, err := r.hub.Next(t.Context(), []apic.Class{"fvTenant"}, apic.NextOptions{Consumer: "c", Ack: true, Acked: apic.MaxID})
		if !errors.Is(err, apic.ErrBadAck) {
			t.Errorf("ack beyond the newest entry: %v", err)
		}
	})
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		classes := []apic.Class{"fvTenant"}
		taken(t, r.hub, apic.NextOptions{Max: 10}, classes...)
		began := time.Now()
		if got, err := r.hub.Next(t.Context(), classes, apic.NextOptions{Wait: 30 * time.Second}); err != nil || len(got.Events) != 0 || time.Since(began) != 30*time.Second {
			t.Errorf("got %v, %v after %s; want nothing after 30 s", got, err, time.Since(began))
		}
		// Who hangs up takes nothing.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := r.hub.Next(ctx, classes, apic.NextOptions{Wait: time.Minute})
			gone <- err
		}()
		time.Sleep(time.Second)
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(time.Second, func() { r.fabric.Create("fvTenant", "uni/tn-a", nil) })
		got, err := r.hub.Next(t.Context(), classes, apic.NextOptions{Wait: time.Minute})
		if err != nil || len(got.Events) != 1 || got.Events[0].Event.DN != "uni/tn-a" {
			t.Errorf("got %v, %v; want uni/tn-a", got, err)
		}
	})
}

func TestGapBeforeEventsIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		classes := []apic.Class{"fvTenant"}
		taken(t, r.hub, apic.NextOptions{Max: 10}, classes...)
		r.fabric.Controller(0).DropSockets(apicsim.Reset)
		time.Sleep(time.Minute)
		r.fabric.Create("fvTenant", "uni/tn-a", nil)
		r.fabric.Create("fvTenant", "uni/tn-b", nil)
		r.quiet()
		first, err := r.hub.Next(t.Context(), classes, apic.NextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.hub.Next(t.Context(), classes, apic.NextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if first.Gap == 0 || first.Gap >= first.Events[0].ID || second.Gap != 0 {
			t.Errorf("gaps are %d and %d, want the gap on the first answer only", first.Gap, second.Gap)
		}
	})
}

// A fault of the log while places are saved must not lose an event nor hand
// one out twice.
func TestNextWhileTheLogFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{})
		r.subscribe("/api/class/fvTenant.json")
		for i := range 300 {
			r.fabric.Modify("uni/tn-common", map[string]string{"descr": fmt.Sprint(i)})
		}
		r.quiet()
		broken := errors.New("no space left")
		var mu sync.Mutex
		n := 0
		r.journal.Fail(func() error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%3 == 0 {
				return broken
			}
			return nil
		})
		seen := make(map[apic.ID]int)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for {
					got, err := r.hub.Next(t.Context(), []apic.Class{"fvTenant"}, apic.NextOptions{})
					if errors.Is(err, broken) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					if len(got.Events) == 0 {
						return
					}
					mu.Lock()
					seen[got.Events[0].ID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		r.journal.Fail(nil)
		if len(seen) != 303 {
			t.Errorf("%d different events were taken, want 303", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("event %d was handed out %d times", id, n)
			}
		}
	})
}

func TestQueueOvertakenByRetentionSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, apicsim.Options{}, func(o *apic.Options) { o.Ring = 4 })
		r.subscribe("/api/class/fvTenant.json")
		for i := range 20 {
			r.fabric.Modify("uni/tn-common", map[string]string{"descr": fmt.Sprint(i)})
		}
		r.quiet()
		r.journal.Forget(r.hub.Bounds().Newest - 10)
		_, err := r.hub.Next(t.Context(), []apic.Class{"fvTenant"}, apic.NextOptions{})
		gone, ok := errors.AsType[*apic.GoneError](err)
		if !ok || gone.Oldest != r.hub.Bounds().Newest-9 || gone.Reason != "retention" {
			t.Fatalf("got %v, want what retention took", err)
		}
		if ids := taken(t, r.hub, apic.NextOptions{}, "fvTenant"); len(ids) != 10 || ids[0] != gone.Oldest {
			t.Errorf("goes on with %v, want the 10 that are there", ids)
		}
	})
}
