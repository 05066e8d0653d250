package webhook

import (
	"strings"
	"testing"
	"time"
)

func TestTemplates(t *testing.T) {
	s := testService(t)
	cases := []struct {
		template, contentType string
		wrong                 string // "" for none
		want                  string // of the first sample
	}{
		{`{"text": {{json .dn}}}`, "", "", `{"text": "uni/tn-sample/ap-shop/epg-web/fault-F0000"}`},
		{`{"t": "{{.class}} {{.path.tenant}} {{esc .attributes.descr}}"}`, "", "", `{"t": "faultInst sample a \"quoted\" word, a back\\slash,\na second line, a tab\t, <b>, & and ü"}`},
		{`{{.status}} {{.id}} {{.attributes.nothing}}{{.changes.nothing.old}}.`, "text/plain", "", "created 1 ."},
		{`{"x": "{{.attributes.descr}}"}`, "", "no JSON", ""},
		{`{{.sevrity}}`, "text/plain", "no value", ""},
		{`{"a": {{json .dn}`, "", "line 1", ""},
		{"{\n{{.dn | nosuch}}}", "", "line 2", ""},
		{`{{range 1000000000}}{{end}}`, "", "too much", ""},
		{`{{range 1000000}}xxxxxxxxxxxxxxxxxxxxxxxx{{end}}`, "text/plain", "too much", ""},
		{`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, "", "too much", ""},
		{`{{$a := "xx"}}{{range 1000}}{{$a = printf "%s%s" $a $a}}{{end}}`, "", "too much", ""},
		{`{{printf "%9999d" 1}}`, "", "3 digits", ""},
		{`{{printf "%*d" 9 1}}`, "", "(*)", ""},
		{`{{header "X-None"}}`, "", "no header", ""},
		{`{{if eq .kind "gap"}}gap{{else}}{{pick .object.severity "critical" "P1" "major" "P2" "P3"}}{{end}}`, "text/plain", "", "P2"},
		{`{{default "-" .object.nothing}} {{upper .status}} {{short 4 .dn}} {{replace "/" "." .path.epg}}`, "text/plain", "", "- CREATED uni… web"},
		{`{{summary .}}`, "text/plain", "", "faultInst created (major): uni/tn-sample/ap-shop/epg-web/fault-F0000: a \"quoted\" word, a back\\slash, a second line, a tab , <b>, & and ü"},
		{`{{if eq .status "deleted"}}only these{{end}}`, "text/plain", "", ""},
	}
	for _, c := range cases {
		e := &Endpoint{URL: "http://192.0.2.7/", Format: FormatTemplate, Template: c.template, ContentType: c.contentType, Batch: 1, Include: true}
		begun := time.Now()
		d, err := s.compile(e)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: took %s", c.template, took)
		}
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.HasPrefix(err.Error(), "template: ") {
				t.Errorf("%s: got %v, want %q", c.template, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		b, err := d.render(samples("faultInst")[:1], false)
		if got := string(b.text); err != nil || got != c.want || b.skip != (c.want == "") {
			t.Errorf("%s: got %q, %v, want %q", c.template, got, err, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		status int
		since  time.Duration
		want   verdict
	}{
		{200, 0, done}, {204, 48 * time.Hour, done}, {299, 0, done}, {301, 0, again}, {400, 0, again}, {404, 23 * time.Hour, again}, {404, 24 * time.Hour, disable},
		{410, 0, disable}, {429, 0, again}, {500, 0, again}, {101, 0, again}, {0, 0, again},
	} {
		o := &outcome{status: c.status}
		if c.status == 0 {
			o.err = errTimeout
		}
		since := time.Time{}
		if c.since > 0 {
			since = now.Add(-c.since)
		}
		if got, why := judge(o, since, now, giveUpAfter); got != c.want || (why == "") != (got == done) {
			t.Errorf("%d since %s: got %d (%s), want %d", c.status, c.since, got, why, c.want)
		}
	}
	for text, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "-5": 0, "99999999999": retryAfterMax, "soon": 0, now.Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"): time.Hour} {
		if got := parseRetryAfter(text, now); got.Round(2*time.Second) != want.Round(2*time.Second) {
			t.Errorf("Retry-After %q: got %s, want %s", text, got, want)
		}
	}
}

func TestShownURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://noc.example.com/hook":                              "https://noc.example.com/hook",
		"https://noc.example.com/api/v1/webhooks/acitap-events":     "https://noc.example.com/api/v1/webhooks/acitap-events",
		"https://hooks.slack.com/services/T000/B000/abc":            "https://hooks.slack.com/services/***/***/***",
		"https://st2.example.com/api/v1/webhooks/x?st2-api-key=abc": "https://st2.example.com/api/v1/webhooks/x?st2-api-key=***",
		"https://x.logic.azure.com:443/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke?api-version=2016-06-01&sig=s": "https://x.logic.azure.com:443/workflows/***/triggers/manual/paths/invoke?api-version=***&sig=***",
	} {
		if got := (&Endpoint{URL: url}).shownURL(); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}
