package handlers_test

import (
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		a := r.do("GET /").want(200, "<html", "connected", `href="/docs"`)
		if strings.Contains(a.body, "/signout") {
			t.Error("without tokens the page offers to sign out")
		}
		r.do("GET /docs").want(200, `href="/?view=webhooks"`)
		r.subscribe("fvTenant")
		r.create("fvTenant", "uni/tn-x", "descr", "<script>alert(1)</script>")
		r.settle()
		a = r.do("GET /?view=events&filter=x").want(200, "uni/", "tn-common", "fvTenant", "&lt;script&gt;")
		if strings.Contains(a.body, "<script>alert") {
			t.Error("the page holds a stranger's script")
		}
		if got := a.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("got Content-Type %q", got)
		}
		js := r.do("GET /static/boot.js").want(200)
		if js.header.Get("Cache-Control") != "no-cache" || js.header.Get("ETag") == "" {
			t.Errorf("got Cache-Control %q, ETag %q", js.header.Get("Cache-Control"), js.header.Get("ETag"))
		}
		r.do("GET /static/boot.js", "If-None-Match: "+js.header.Get("ETag")).want(304)
		for _, path := range []string{"/static/", "/static/nothing.js", "/static/vendor", "/static/../handlers.go", "/static/%2e%2e/x", "/static"} {
			r.do("GET " + path).want(404)
		}
		r.do("POST /").want(405)
	})
}
