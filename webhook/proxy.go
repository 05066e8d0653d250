package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// A Proxy says by which proxy a URL is reached, nil for none.
//
// What is reached through a proxy is looked up and dialled by it, so the
// addresses that this package refuses are the proxy's to refuse. Addresses in
// URLs, and all that goes past the proxy, are still judged here. The proxy
// itself may have any address: who runs acitap has named it.
type Proxy func(target *url.URL) (*url.URL, error)

// ParseProxy returns the proxy of a URL, as http://proxy.example.com:3128, for
// all but what is excepted: names, domains, addresses and networks, separated by
// commas, in the way of NO_PROXY. Loopback is always excepted. An error does
// not hold the URL, which may have a password.
func ParseProxy(text, except string) (Proxy, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be the URL of a proxy, as http://proxy.example.com:3128")
	}
	c := httpproxy.Config{HTTPProxy: text, HTTPSProxy: text, NoProxy: except}
	return c.ProxyFunc(), nil
}

// way returns by what a URL is reached.
func (s *Service) way(target *url.URL) (*http.Transport, error) {
	if s.proxied == nil {
		return s.transport, nil
	}
	proxy, err := s.o.Proxy(target)
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding the proxy: %w", err)
	case proxy == nil:
		return s.transport, nil
	}
	return s.proxied, nil
}

// newProxied returns what sends through the proxy, and never past it.
func newProxied(o *Options) *http.Transport {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, Resolver: o.Resolver}).DialContext
	}
	t := newTransport(o, dial)
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		proxy, err := o.Proxy(r.URL)
		if proxy == nil && err == nil { // its address would be dialled without being judged
			err = errors.New("this goes through no proxy")
		}
		return proxy, err
	}
	return t
}
