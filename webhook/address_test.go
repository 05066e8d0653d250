package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestGuard(t *testing.T) {
	cases := []struct {
		addr  string
		allow string
		why   string // "" for allowed
	}{
		{"192.0.2.7", "", ""},
		{"10.1.2.3", "", ""}, // private: in a management network the receivers are there
		{"172.16.0.1", "", ""},
		{"192.168.1.1", "", ""},
		{"fd12:3456::1", "", ""},
		{"2001:db8::7", "", ""},
		{"127.0.0.1", "", "loopback"},
		{"127.255.255.254", "", "loopback"},
		{"::1", "", "loopback"},
		{"0.0.0.0", "", "machine itself"},
		{"0.1.2.3", "", "machine itself"},
		{"::", "", "machine itself"},
		{"169.254.169.254", "", "link-local"},
		{"169.254.0.1", "", "link-local"},
		{"fe80::1", "", "link-local"},
		{"fe80::1%eth0", "", "link-local"},
		{"224.0.0.1", "", "multicast"},
		{"ff02::1", "", "multicast"},
		{"ff0e::1", "", "multicast"},
		{"255.255.255.255", "", "broadcast"},
		{"100.100.100.200", "", "metadata"},
		{"168.63.129.16", "", "metadata"},
		{"192.0.0.192", "", "metadata"},
		{"fd00:ec2::254", "", "metadata"},
		{"fd20:ce::254", "", "metadata"},
		{"::ffff:127.0.0.1", "", "loopback"},
		{"::ffff:169.254.169.254", "", "link-local"},
		{"::ffff:10.0.0.1", "", ""},
		{"::127.0.0.1", "", "loopback"},
		{"::ffff:0:127.0.0.1", "", "loopback"},
		{"64:ff9b::127.0.0.1", "", "loopback"},
		{"64:ff9b::169.254.169.254", "", "link-local"},
		{"64:ff9b::10.0.0.1", "", ""},
		{"64:ff9b:1::169.254.169.254", "", "link-local"},
		{"64:ff9b:1:a9fe:a9:fe00::", "", "link-local"},
		{"64:ff9b:1::10.0.0.1", "", ""},
		{"2002:7f00:1::", "", "loopback"},
		{"2002:a9fe:a9fe::1", "", "link-local"},
		{"2002:c000:207::1", "", ""},
		{"2001:0:7f00:1::", "", "loopback"},
		{"2001:0:c000:207:0:0:80ff:fffe", "", "loopback"}, // the client is 127.0.0.1 with its bits turned
		{"2001:db8::5efe:7f00:1", "", "loopback"},
		{"2001:db8::200:5efe:a9fe:a9fe", "", "link-local"},

		{"127.0.0.1", "127.0.0.0/8", ""},
		{"127.0.0.1", "127.0.0.2/32", "loopback"},
		{"::ffff:127.0.0.1", "127.0.0.0/8", ""},
		{"64:ff9b::127.0.0.1", "127.0.0.0/8", "loopback"}, // the translator's own
		{"169.254.169.254", "169.254.0.0/16", ""},
		{"::1", "::1/128", ""},
	}
	for _, c := range cases {
		var g guard
		if c.allow != "" {
			g.allow = append(g.allow, netip.MustParsePrefix(c.allow))
		}
		err := g.check(netip.MustParseAddr(c.addr))
		if got := err == nil; got != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s with %q allowed: got %v, want %q", c.addr, c.allow, err, c.why)
		}
	}
}

func TestGuardHost(t *testing.T) {
	for host, ok := range map[string]bool{
		"noc.example.com": true, "noc": true, "192.0.2.7": true, "10.0.0.1": true, "2001:db8::7": true, "1.example.com": true, "xn--bcher-kva.example": true,
		"localhost": false, "LOCALHOST.": false, "a.localhost": false, "127.0.0.1": false, "::1": false, "2130706433": false, "0x7f000001": false,
		"0x7f.1": false, "0177.0.0.1": false, "127.1": false, "::ffff:127.0.0.1": false, "fe80::1%eth0": false, "example.com.0x1": false,
	} {
		if err := (guard{}).checkHost(host); (err == nil) != ok {
			t.Errorf("%s: got %v, want allowed: %v", host, err, ok)
		}
	}
	g := guard{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if err := g.checkHost("localhost"); err != nil {
		t.Errorf("localhost with 127.0.0.0/8 allowed: got %v", err)
	}
}

// A liar answers DNS queries with another address each time: the second one is
// the receiver's own machine.
func liar(t *testing.T, addrs ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 1500)
		n := 0
		for {
			size, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:size]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				a := netip.MustParseAddr(addrs[min(n, len(addrs)-1)])
				n++
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: a.As4()},
				}}
			}
			out, err := m.Pack()
			if err != nil {
				continue
			}
			pc.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// TestRebinding looks a name up, as somebody would who checks the address
// first, and then sends to it: the address that is dialled decides.
func TestRebinding(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	resolver := liar(t, "192.0.2.7", "127.0.0.1")
	first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.")
	if err != nil || first[0].String() != "192.0.2.7" {
		t.Fatalf("got %v, %v from the liar's first answer", first, err)
	}
	for _, allowed := range []bool{false, true} {
		o := Options{Resolver: resolver}
		if allowed {
			o.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		transport := newTransport(&o, guard{o.Allow}.dialer(nil, o.Resolver))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://rebind.example.:"+port+"/", nil)
		res, err := transport.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		cancel()
		transport.CloseIdleConnections()
		if _, refused := errors.AsType[*RefusedError](err); refused == allowed || reached != allowed {
			t.Errorf("allowed %v: got %v, reached %v", allowed, err, reached)
		}
	}
}
