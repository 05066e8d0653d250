package webhook

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

func testService(t testing.TB) *Service {
	s, err := New(t.Context(), Options{Store: Memory(), Hub: nil})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a template is, and what an event holds, a stranger says: rendering ends
// soon, within its bounds, and gives JSON or an error.
func FuzzTemplate(f *testing.F) {
	for _, p := range presets {
		f.Add(p.Template, "a \"quoted\" text")
	}
	for _, text := range []string{
		`{"text": {{json .dn}}}`, `{"text": "{{esc .attributes.descr}}"}`, `{{range 1000000000}}{{end}}`, `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`,
		`{{$a := "xx"}}{{range 1000}}{{$a = printf "%s%s" $a $a}}{{end}}{{$a}}`, `{{printf "%999999999d" 1}}`, `{{printf "%*d" 99999999 1}}`,
		`{{range $i, $e := .attributes}}{{$i}}={{$e}}{{else}}none{{end}}`, `{{html (js (urlquery .dn))}}`, `{{call .dn}}`, `{{index .attributes "descr"}}`,
		`{{slice .dn 1 99999}}`, `{{with .changes}}{{.descr.old}}{{end}}`, `{{if and .kind (eq .kind "gap")}}{{.classes}}{{end}}`, `{{key 64 .dn}}{{short 3 .dn}}`,
		`{{range split "" .dn}}{{range split "" $.dn}}{{range split "" $.dn}}x{{end}}{{end}}{{end}}`, `{{summary .}}`, `{{summary (brief .)}}`, `{{join "," .classes}}`,
	} {
		f.Add(text, "\x00\u2028<&>")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(text) > maxTemplate {
			return
		}
		r, err := compileTemplate(text, typeJSON)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		d := &definition{Endpoint: &Endpoint{Format: FormatTemplate, Template: text, Batch: 1, Headers: map[string]string{"X-A": "b"}}, template: r}
		list := samples("faultInst")
		e := apic.Entry{Event: &apic.Event{Time: apic.Now(), Fabric: value, Class: "fvTenant", DN: apic.DN(value), Status: apic.Created, Origin: apic.Live,
			Attributes: apic.AttrsMap(map[string]string{"descr": value, value: value})}}.Seal(1)
		list = append(list, item{Entry: &e})
		begun := time.Now()
		for i := range list {
			b, err := d.render(list[i:i+1], false)
			if err == nil && !b.skip && (!json.Valid(b.text) || len(b.text) > maxRendered) {
				t.Errorf("got %.200q", b.text)
			}
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"https://noc.example.com/hook?a=b&c", "http://[2001:db8::7]:8080/", "http://user:pass@h/", "http://127.0.0.1/", "http://h:99999/", "http://h:/", "http://0x7f.1/",
		"https://h/a#b", "https://h/%zz", "https://h/\r\nHost: x", "//h/", "http:h", "https://[fe80::1%25eth0]/", "https://hooks.slack.com/services/T0/B0/secretpart",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseURL(s)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("%q: got %+v", s, u)
		}
		_ = (guard{}).checkHost(u.Hostname())
		e := &Endpoint{URL: s}
		shown := e.shownURL()
		if strings.ContainsAny(shown, "\r\n ") {
			t.Errorf("%q is shown as %q", s, shown)
		}
		if v, err := url.Parse(shown); err != nil || v.Host != u.Host {
			t.Errorf("%q is shown as %q: %v", s, shown, err)
		}
		for _, values := range u.Query() {
			for _, value := range values {
				if len(value) > 8 && strings.Contains(strings.TrimPrefix(shown, u.Scheme+"://"+u.Host+u.EscapedPath()), value) && !strings.Contains(u.EscapedPath(), value) {
					t.Errorf("%q is shown as %q", s, shown)
				}
			}
		}
	})
}

// FuzzDefinition decodes what a caller may send. What is taken can be stored
// and read back as it was, can be shown, and makes a request that is valid.
func FuzzDefinition(f *testing.F) {
	for _, s := range []string{
		`{"name":"noc","url":"https://noc.example.com/hook","class":"Tenant,faultInst","filter":"tenant == \"a\"","headers":{"authorization":"Bearer x"},"batch":10,"since":"24h"}`,
		`{"url":"http://h/","headers":{"A B":"x","X-A":"a\r\nb","Content-Length":"1","X-C":null}}`, `{"url":"http://h/","attr":{"severity":["major"]},"attr.code":"F1"}`,
		`{"url":"http://h/","format":"template","template":"{{json .dn}}","contentType":"text/plain; charset=utf-8"}`, `{"url":"http://h/","secret":"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"url":"http://h/","preset":"pagerduty","retryFor":"1h"}`, `[]`, `null`, `{"url":1}`, `{"a":`, `{"url":"http://h/","url":"http://i/"}`,
	} {
		f.Add(s)
	}
	s := testService(f)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decode([]byte(text), nil)
		if err != nil {
			if len(selector.Errors(err)) == 0 {
				t.Errorf("%q: got an error that is no mistake: %v", text, err)
			}
			return
		}
		if len(e.Template) > 1000 {
			return
		}
		d, err := s.compile(e)
		if err != nil {
			return
		}
		b, err := e.store()
		if err != nil {
			t.Fatal(err)
		}
		back, err := restore(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		again, err := back.store()
		if err != nil || string(again) != string(b) {
			t.Errorf("got %s back, want %s", again, b)
		}
		shown, err := json.Marshal(View{ID: "wh_1", Endpoint: *e})
		if err != nil || strings.Contains(string(shown), e.secret.text) {
			t.Errorf("shown as %s, %v", shown, err)
		}
		req, err := http.NewRequest(http.MethodPost, d.url.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = d.header
		var w strings.Builder
		if err := req.Write(&w); err != nil {
			t.Errorf("the request cannot be written: %v", err)
		}
		head, _, _ := strings.Cut(w.String(), "\r\n\r\n")
		if n := strings.Count(head, "\r\n"); n > len(e.Headers)+5 {
			t.Errorf("got %d lines of a head with %d headers: %q", n, len(e.Headers), head)
		}
		// A patch of nothing changes nothing.
		same, err := decode([]byte("{}"), e)
		if err != nil {
			t.Fatalf("an empty patch of %s: %v", text, err)
		}
		if c, _ := same.store(); string(c) != string(b) {
			t.Errorf("an empty patch made %s of %s", c, b)
		}
	})
}
