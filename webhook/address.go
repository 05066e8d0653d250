package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A RefusedError says that a request was not sent because of the address that
// its host's name led to.
type RefusedError struct {
	Addr   netip.Addr
	Reason string // as "a loopback address"
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is %s, which webhooks do not reach unless ACITAP_WEBHOOK_ALLOW names it", e.Addr, e.Reason)
}

// A guard decides which addresses may be dialled. Private addresses may: in a
// management network the receivers are on them. What is refused is what reaches
// the machine itself, or a secret of the cloud that it runs in.
type guard struct{ allow []netip.Prefix }

// check returns a *RefusedError for an address that must not be dialled.
func (g guard) check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	for _, p := range g.allow {
		if p.Contains(a) {
			return nil
		}
	}
	if reason := forbidden(a); reason != "" {
		return &RefusedError{a, reason}
	}
	for _, inner := range disguised(a) {
		if reason := forbidden(inner); reason != "" {
			return &RefusedError{a, fmt.Sprintf("%s (%s) in the form of IPv6", reason, inner)}
		}
	}
	return nil
}

// metadata are addresses at which clouds hand out credentials, and which lie
// outside of the link-local range.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
	netip.MustParseAddr("fd00:42::42"),     // Scaleway
}

func forbidden(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "a loopback address"
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0: // 0.0.0.0/8: this host
		return "an address of the machine itself"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a.IsMulticast():
		return "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	}
	for _, m := range metadata {
		if a == m {
			return "a cloud's metadata address"
		}
	}
	return ""
}

// disguised returns the IPv4 addresses that an IPv6 address can stand for: a
// translator, a tunnel or the kernel would send to one of them. 127.0.0.1
// mapped into IPv6 has been unmapped before.
func disguised(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	at := func(i ...int) netip.Addr { return netip.AddrFrom4([4]byte{b[i[0]], b[i[1]], b[i[2]], b[i[3]]}) }
	within := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }
	switch {
	case within("::/96"), within("::ffff:0:0:0/96"), within("64:ff9b::/96"): // compatible, translated, NAT64
		return []netip.Addr{at(12, 13, 14, 15)}
	case within("64:ff9b:1::/48"): // NAT64 of a site: with a prefix of 48, 56, 64 or 96 bits
		all := []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), at(12, 13, 14, 15)}
		return slices.DeleteFunc(all, func(a netip.Addr) bool { return a.As4()[0] == 0 }) // only padding
	case within("2002::/16"): // 6to4
		return []netip.Addr{at(2, 3, 4, 5)}
	case within("2001::/32"): // Teredo: the server, and the client with its bits turned
		return []netip.Addr{at(4, 5, 6, 7), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP
		return []netip.Addr{at(12, 13, 14, 15)}
	}
	return nil
}

const dialTimeout = 10 * time.Second

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns how connections are made: with the guard asked about the very
// address that is dialled, after the name was looked up. A name that leads to
// something else at the second look gains nothing by it.
func (g guard) dialer(dial dialFunc, resolver *net.Resolver) dialFunc {
	if dial == nil {
		d := &net.Dialer{
			Timeout:  dialTimeout,
			Resolver: resolver,
			ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
				ap, err := netip.ParseAddrPort(address)
				if err != nil {
					return fmt.Errorf("address %.60q cannot be judged: %w", address, err)
				}
				return g.check(ap.Addr())
			},
		}
		return d.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if ap, err := netip.ParseAddrPort(addr); err == nil {
			if err := g.check(ap.Addr()); err != nil {
				return nil, err
			}
		}
		return dial(ctx, network, addr)
	}
}

// checkHost refuses what can be seen of a URL's host to be refused, so that
// the mistake is told when the endpoint is saved. The dialled address decides.
func (g guard) checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return g.check(a)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		if g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) != nil && g.check(netip.IPv6Loopback()) != nil {
			return &RefusedError{netip.AddrFrom4([4]byte{127, 0, 0, 1}), "a loopback address"}
		}
		return nil
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" {
		// 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to some.
		return fmt.Errorf("%.60q is neither a name nor an address: write an IPv4 address as 192.0.2.7 and an IPv6 address as [2001:db8::7]", host)
	}
	return nil
}
