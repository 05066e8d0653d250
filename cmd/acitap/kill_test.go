//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acitap/acitap/apicsim"
)

// TestMain lets the test binary be acitap itself, so that it can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("ACITAP_TEST_BE_ACITAP") != "" {
		os.Unsetenv("ACITAP_TEST_BE_ACITAP")
		os.Exit(run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestKilled kills acitap with SIGKILL in the middle of bursts. Over all its
// lives, a reader of the stream folds what the fabric is, no id is used twice,
// and no consumer is handed an event again.
func TestKilled(t *testing.T) {
	fabric := apicsim.New(apicsim.Options{Seed: 9})
	defer fabric.Close()
	controller := serveController(t, fabric)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	base := "http://" + addr
	dir := t.TempDir()

	var child *exec.Cmd
	start := func() {
		child = exec.Command(os.Args[0], "serve")
		child.Dir = dir
		child.Env = []string{
			"ACITAP_TEST_BE_ACITAP=1", "APIC_URL=http://" + controller, "APIC_LOGIN=admin", "APIC_PASSWORD=cisco123",
			"ACITAP_LISTEN=" + addr, "ACITAP_DATA_DIR=" + dir, "ACITAP_SUBSCRIPTIONS=fvBD",
		}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
	}
	kill := func() {
		child.Process.Kill()
		child.Wait()
	}
	start()
	defer func() { kill() }()
	await := func(what string, done func() bool) {
		t.Helper()
		for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("no %s within a minute", what)
			}
		}
	}
	get := func(path string, into any) bool {
		resp, err := http.Get(base + path)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && json.Unmarshal(b, into) == nil
	}
	active := func() bool {
		var list struct{ Subscriptions []struct{ State string } }
		return get("/subscriptions", &list) && len(list.Subscriptions) == 1 && list.Subscriptions[0].State == "active"
	}
	for i := range 40 {
		fabric.Create("fvBD", fmt.Sprintf("uni/tn-common/BD-b%d", i), nil)
	}
	await("active subscription", active)
	var page struct{ Events []streamed }
	await("first event", func() bool { return get("/events?limit=1", &page) && len(page.Events) == 1 })

	r := &reader{t: t, client: http.DefaultClient, base: base, last: fmt.Sprint(page.Events[0].ID - 1), fold: map[string]map[string]string{}, hangUp: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := make(chan struct{})
	go func() { defer close(read); r.run(ctx) }()
	consumed := make(chan struct{})
	seen := map[int64]bool{}
	go func() {
		defer close(consumed)
		last := int64(0)
		for ctx.Err() == nil {
			var got struct{ Events []streamed }
			if !get("/events/fvBD/next?consumer=c&since=earliest&max=20", &got) {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			for _, e := range got.Events {
				if seen[e.ID] || e.ID <= last {
					t.Errorf("the consumer got %d after %d", e.ID, last)
				}
				seen[e.ID] = true
				last = e.ID
			}
		}
	}()

	rng := rand.New(rand.NewPCG(9, 9))
	n := 0
	for range 5 {
		time.AfterFunc(time.Duration(rng.IntN(60))*time.Millisecond, func() { child.Process.Kill() })
		for range 30 { // a burst, with deletions, in the middle of which acitap dies
			err := fabric.Batch(func(tx *apicsim.Tx) error {
				for range 100 {
					n++
					dn := fmt.Sprintf("uni/tn-common/BD-b%d", rng.IntN(40))
					switch {
					case !tx.Exists(dn):
						tx.Create("fvBD", dn, nil)
					case rng.IntN(20) == 0:
						tx.Delete(dn)
					default:
						tx.Modify(dn, map[string]string{"descr": fmt.Sprint(n)})
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Millisecond) // the pace of the burst
		}
		child.Wait()
		start()
		await("active subscription", active)
	}
	want := map[string]map[string]string{}
	for _, o := range fabric.Objects("fvBD") {
		attrs := map[string]string{"dn": o.DN, "modTs": o.ModTs}
		for name, v := range o.Attributes {
			if name != "status" && name != "childAction" && name != "rn" {
				attrs[name] = v
			}
		}
		want[o.DN] = attrs
	}
	// The reader is done when it is where the timeline is.
	await("reader at the end", func() bool {
		var newest struct{ Events []streamed }
		return get("/events?order=desc&limit=1&kind=event,gap", &newest) && len(newest.Events) == 1 && r.place() >= newest.Events[0].ID
	})
	cancel()
	<-read
	<-consumed
	if diff := cmp.Diff(want, r.fold); diff != "" {
		t.Errorf("fold of the stream (-fabric +reader):\n%s", diff)
	}
	if r.gaps < 5 {
		t.Errorf("%d gaps came, want one for each life of acitap at least", r.gaps)
	}
	if len(seen) < 200 {
		t.Errorf("the consumer got %d events: too few to show anything", len(seen))
	}
}
