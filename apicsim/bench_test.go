package apicsim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/acitap/acitap/apicsim"
)

// sink is a client that opens a socket over TCP and throws away what comes: what
// is left is the cost of the simulator.
func sink(b *testing.B, f *apicsim.Fabric, queries ...string) (ids []string) {
	srv := httptest.NewServer(f.Controller(0))
	c := handlerClient{f.Controller(0)}
	token := c.login(b)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /socket%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", token)
	br := bufio.NewReader(conn)
	if _, err := http.ReadResponse(br, nil); err != nil {
		b.Fatal(err)
	}
	go io.Copy(io.Discard, br)
	b.Cleanup(func() { conn.Close(); f.Close(); srv.Close() })
	for _, q := range queries {
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = q
		r.Header.Set("Cookie", "APIC-cookie="+token)
		w := httptest.NewRecorder()
		f.Controller(0).ServeHTTP(w, r)
		_, rest, _ := strings.Cut(w.Body.String(), `"subscriptionId":"`)
		id, _, _ := strings.Cut(rest, `"`)
		ids = append(ids, id)
	}
	return ids
}

// One sparse modified frame, from the change to the socket.
func BenchmarkBurst(b *testing.B) {
	f := apicsim.New(apicsim.Options{MaxBehind: 1 << 30})
	f.Populate(apicsim.Profile{})
	sink(b, f, "/api/class/fvCEp.json?subscription=yes", "/api/class/fvTenant.json?subscription=yes")
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Burst("fvCEp", 10000); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10000, "ns/frame")
}

// One frame of Blast.
func BenchmarkBlast(b *testing.B) {
	f := apicsim.New(apicsim.Options{})
	ids := sink(b, f, "/api/class/fvCEp.json?subscription=yes")
	frame := []byte(`{"subscriptionId":["` + ids[0] + `"],"imdata":[{"fvBD":{"attributes":{"childAction":"","configIssues":"","dn":"uni/tn-CL/BD-CLbd","modTs":"2023-05-04T16:02:00.972-04:00","rn":"","status":"modified"}}}]}`)
	for b.Loop() {
		if _, err := f.Controller(0).Blast(context.Background(), ids[0], 100_000, frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/frame")
}

// One page of 10,000 in a class of 100,000, in the order of DNs.
func BenchmarkPage(b *testing.B) {
	f := apicsim.New(apicsim.Options{})
	f.Populate(apicsim.Profile{Endpoints: 100_000, Tenants: 12})
	defer f.Close()
	c := handlerClient{f.Controller(0)}
	token := c.login(b)
	i := 0
	for b.Loop() {
		if s := c.do("GET", fmt.Sprintf("/api/class/fvCEp.json?order-by=fvCEp.dn&page-size=10000&page=%d", i%10), "", token); s != 200 {
			b.Fatal(s)
		}
		i++
	}
}

func BenchmarkPopulate(b *testing.B) {
	for b.Loop() {
		f := apicsim.New(apicsim.Options{})
		f.Populate(apicsim.Profile{Endpoints: 100_000, Tenants: 12})
		f.Close()
	}
}
