package webhook_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/webhook"
)

// Both stores keep what they are given, and say the same.
func TestStores(t *testing.T) {
	dir := t.TempDir()
	file, err := webhook.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]webhook.Store{"memory": webhook.Memory(), "sqlite": file} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			at := time.Date(2026, 11, 24, 3, 4, 5, 678000, time.UTC)
			delivery := func(seq int64) webhook.Delivery {
				return webhook.Delivery{Seq: seq, Kind: webhook.Regular, Events: []apic.ID{7, 8}, Message: "msg", Time: at.Add(time.Duration(seq) * time.Hour), Attempt: 2, Status: 503, Duration: 3 * time.Millisecond, Error: "busy", Answer: []byte("<\xff>")}
			}
			if err := s.Commit(ctx, []webhook.Change{
				{Record: webhook.Record{ID: "a", Definition: []byte(`{"secret":"x"}`), At: 5, State: []byte(`{}`)}, Deliveries: []webhook.Delivery{delivery(1), delivery(2), delivery(3)}},
				{Record: webhook.Record{ID: "nobody", At: 9}},
			}); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(ctx, []webhook.Change{{Record: webhook.Record{ID: "a", At: 6, State: []byte(`{"n":1}`)}, Deliveries: []webhook.Delivery{delivery(4)}, Forget: 1}}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Load(ctx)
			want := []webhook.Record{{ID: "a", Definition: []byte(`{"secret":"x"}`), At: 6, State: []byte(`{"n":1}`)}}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v, records (-want +got):\n%s", err, diff)
			}
			list, err := s.Deliveries(ctx, "a", 4, 1)
			if diff := cmp.Diff([]webhook.Delivery{delivery(3)}, list); diff != "" || err != nil {
				t.Errorf("%v, deliveries (-want +got):\n%s", err, diff)
			}
			if err := s.Prune(ctx, at.Add(3*time.Hour)); err != nil {
				t.Error(err)
			}
			if list, err := s.Deliveries(ctx, "a", 0, 10); err != nil || len(list) != 2 || list[0].Seq != 4 {
				t.Errorf("after pruning: %v, %v", list, err)
			}
			// More at once than is to be kept.
			if err := s.Commit(ctx, []webhook.Change{{Record: webhook.Record{ID: "a", At: 9}, Deliveries: []webhook.Delivery{delivery(5), delivery(6), delivery(7)}, Forget: 6}}); err != nil {
				t.Fatal(err)
			}
			if list, err := s.Deliveries(ctx, "a", 0, 10); err != nil || len(list) != 1 || list[0].Seq != 7 {
				t.Errorf("after forgetting up to 6: %v, %v", list, err)
			}
			if err := s.Prune(ctx, at.Add(1000*time.Hour)); err != nil {
				t.Error(err)
			}
			if list, err := s.Deliveries(ctx, "a", 0, 10); err != nil || len(list) != 0 {
				t.Errorf("after pruning all: %v, %v", list, err)
			}
			if err := s.Delete(ctx, "a"); err != nil {
				t.Error(err)
			}
			if got, err := s.Load(ctx); err != nil || len(got) != 0 {
				t.Errorf("after deleting: %v, %v", got, err)
			}
		})
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, "webhooks.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the secrets: %v, %v", info.Mode(), err)
	}
}
