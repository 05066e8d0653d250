// Package deploy holds what helps to run acitap; this file says that it fits.
package deploy

import (
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/eventlog"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// metrics are the names that the parts of a running acitap describe.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	r := prometheus.NewRegistry()
	names := make(map[string]bool)
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	spy := registerer{r, func(c prometheus.Collector) {
		ch := make(chan *prometheus.Desc, 100)
		go func() { c.Describe(ch); close(ch) }()
		for d := range ch {
			names[name.FindStringSubmatch(d.String())[1]] = true
		}
	}}
	log, err := eventlog.Open(t.Context(), eventlog.Options{Dir: t.TempDir(), Registerer: spy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	o := apic.Options{User: "u", Password: "p", Journal: log, Registerer: spy}
	if o.Controllers, err = controllers("https://apic1"); err != nil {
		t.Fatal(err)
	}
	hub, err := apic.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	handlers.New(handlers.Options{Hub: hub, Registerer: spy})
	if _, err := webhook.New(t.Context(), webhook.Options{Hub: hub, Store: webhook.Memory(), Registerer: spy}); err != nil {
		t.Fatal(err)
	}
	spy.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return names
}

// A registerer looks at what is registered.
type registerer struct {
	*prometheus.Registry
	saw func(prometheus.Collector)
}

func (r registerer) Register(c prometheus.Collector) error {
	r.saw(c)
	return r.Registry.Register(c)
}

func (r registerer) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		r.saw(c)
	}
	r.Registry.MustRegister(list...)
}

var inExpr = regexp.MustCompile(`\b(?:acitap|go|process)_[a-z0-9_]+`)

// Every metric that rules, dashboard and guide name is one of a running
// acitap, and the guide names all of acitap's own.
func TestMetricsExist(t *testing.T) {
	known := metrics(t)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	b, err := os.ReadFile("grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	exprs := make(map[string]string)
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %s asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			exprs["dashboard: "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	rules, err := os.ReadFile("prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for line := range strings.Lines(string(rules)) {
		if strings.HasPrefix(strings.TrimSpace(line), "- alert:") {
			alerts++
		}
		if _, expr, ok := strings.Cut(line, "expr: "); ok {
			exprs["rule: "+expr] = expr
			alerts--
		}
		if strings.Contains(line, "\t") {
			t.Errorf("rules: a tab in %q", line)
		}
	}
	if alerts != 0 {
		t.Error("rules: an alert has no expr, or more than one")
	}
	for where, expr := range exprs {
		found := inExpr.FindAllString(expr, -1)
		if len(found) == 0 || strings.Count(expr, "(") != strings.Count(expr, ")") {
			t.Errorf("%s: names no metric, or is not balanced", where)
		}
		for _, name := range found {
			if !exists(known, name) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	guide, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, name := range inExpr.FindAllString(string(guide), -1) {
		if named[name] = true; !exists(known, name) {
			t.Errorf("docs/metrics.md: there is no metric %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if strings.HasPrefix(name, "acitap_") && !named[name] {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
}

func controllers(s string) ([]*url.URL, error) {
	u, err := url.Parse(s)
	return []*url.URL{u}, err
}

func exists(known map[string]bool, name string) bool {
	for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && known[base] {
			return true
		}
	}
	return false
}

// The unit and the image say what they must.
func TestUnitAndImage(t *testing.T) {
	for file, words := range map[string][]string{
		"acitap.service": {"LimitNOFILE=65536", "NoNewPrivileges=yes", "ProtectSystem=strict", "ExecStart=/usr/local/bin/acitap serve", "RestartPreventExitStatus=2"},
		"../Dockerfile":  {"\nFROM scratch\n", "\nUSER 65532:65532\n", "HEALTHCHECK", "CGO_ENABLED=0", "-trimpath", `"/acitap", "healthcheck"`},
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(b), word) {
				t.Errorf("%s lacks %q", file, word)
			}
		}
	}
}
