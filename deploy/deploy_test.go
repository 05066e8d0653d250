// Package deploy holds what helps to run acitap; this file says that it fits.
package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/eventlog"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// registered is a registry with all parts of a running acitap, and the names
// that they describe.
func registered(t *testing.T) (r *prometheus.Registry, names map[string]bool) {
	t.Helper()
	r = prometheus.NewRegistry()
	names = make(map[string]bool)
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
	_, line, err := handlers.NewToken("ann", handlers.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := handlers.OpenTokens(file, nil, spy); err != nil {
		t.Fatal(err)
	}
	handlers.New(handlers.Options{Hub: hub, Registerer: spy})
	if _, err := webhook.New(t.Context(), webhook.Options{Hub: hub, Store: webhook.Memory(), Registerer: spy}); err != nil {
		t.Fatal(err)
	}
	spy.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r, names
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

// expressions are those of dashboard and rules, by where they stand.
func expressions(t *testing.T) (dashboard, rules map[string]string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	b, err := os.ReadFile("grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	dashboard, rules = make(map[string]string), make(map[string]string)
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %s asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			dashboard["dashboard: "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	text, err := os.ReadFile("prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "- alert:") {
			alerts++
		}
		if _, expr, ok := strings.Cut(line, "expr: "); ok {
			rules["rule: "+expr] = expr
			alerts--
		}
		if strings.Contains(line, "\t") {
			t.Errorf("rules: a tab in %q", line)
		}
	}
	if alerts != 0 {
		t.Error("rules: an alert has no expr, or more than one")
	}
	return dashboard, rules
}

// Prometheus itself loads the rules and the dashboard's expressions, and each
// alert comes for what it is there for and not before.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool (Debian: apt-get install prometheus): names of metrics and brackets are all that was looked at")
	}
	dashboard, _ := expressions(t)
	var asRules strings.Builder
	asRules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, expr := range slices.Sorted(maps.Values(dashboard)) {
		fmt.Fprintf(&asRules, "      - record: panel:%d\n        expr: %q\n", i, strings.ReplaceAll(expr, "$__rate_interval", "5m"))
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(asRules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "prometheus-rules.yml", file}, {"test", "rules", "testdata/alerts.yml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Each alert has a test, of which promtool says nothing.
	rules, err := os.ReadFile("prometheus-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(rules, -1) {
		if n := bytes.Count(tests, append([]byte("alertname: "), m[1]...)); n == 0 {
			t.Errorf("testdata/alerts.yml never has %s", m[1])
		}
	}
}

// Names, units, types and help texts are as Prometheus advises.
func TestMetricsAreAsAdvised(t *testing.T) {
	registry, _ := registered(t)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "acitap_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// Every metric that rules, dashboard and guide name is one of a running
// acitap, and the guide names all of acitap's own.
func TestMetricsExist(t *testing.T) {
	_, known := registered(t)
	exprs, rules := expressions(t)
	maps.Copy(exprs, rules)
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

// The unit says what it must, and systemd itself finds nothing wrong with it.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("acitap.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"LimitNOFILE=65536", "NoNewPrivileges=yes", "ProtectSystem=strict", "ExecStart=/usr/local/bin/acitap serve", "RestartPreventExitStatus=2"} {
		if !bytes.Contains(b, []byte(word)) {
			t.Errorf("the unit lacks %q", word)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze: what the unit's words mean was not looked at")
	}
	exe, err := os.Executable() // acitap is not installed here
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "acitap.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(b, []byte("/usr/local/bin/acitap"), []byte(exe)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", unit}, {"security", "--offline=true", "--threshold=15", unit}} { // exposure in tenths, of 100
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		if bytes.Contains(out, []byte("Unknown option")) || bytes.Contains(out, []byte("unrecognized option")) {
			t.Skipf("systemd-analyze %s: %s", args[0], out)
		}
		if err != nil || args[0] == "verify" && len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}

// The image is acitap alone: no builder is needed to see that its last stage
// takes nothing but what the first one made, that what acitap is given there
// are settings and commands that it knows, and that it is not root. That the
// first stage builds is seen by building an image.
func TestImage(t *testing.T) {
	b, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split("\n"+string(b), "\nFROM ")[1:]
	if len(stages) != 2 || !strings.HasPrefix(stages[1], "scratch\n") {
		t.Fatalf("got %d stages, want one that builds and one from scratch", len(stages))
	}
	build, image := stages[0], stages[1]
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(mod)
	if want := "golang:" + string(version[1]) + " AS build\n"; !strings.HasPrefix(build, want) {
		t.Errorf("the first stage is FROM %.30q, want %q, as go.mod says", build, want)
	}
	for _, word := range []string{"CGO_ENABLED=0", "-trimpath", "-o /acitap ./cmd/acitap", "mkdir -p /data"} {
		if !strings.Contains(build, word) {
			t.Errorf("the stage that builds lacks %q", word)
		}
	}
	said := make(map[string]string)
	for line := range strings.Lines(image) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "COPY":
			if !strings.HasPrefix(rest, "--from=build ") {
				t.Errorf("COPY %s takes something from elsewhere", rest)
			}
		case "RUN", "ADD", "SHELL":
			t.Errorf("%s %s: there is nothing in the image to run", word, rest)
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				name, _, _ := strings.Cut(pair, "=")
				if !strings.Contains(string(example), name+"=") {
					t.Errorf("ENV %s: there is no such setting", name)
				}
			}
		}
		said[word] += rest
	}
	for word, want := range map[string]string{"USER": "65532:65532", "VOLUME": "/data", "STOPSIGNAL": "SIGTERM", "ENTRYPOINT": `["/acitap"]`, "CMD": `["serve"]`} {
		if said[word] != want {
			t.Errorf("%s is %q, want %q", word, said[word], want)
		}
	}
	if !strings.Contains(said["HEALTHCHECK"], `CMD ["/acitap", "healthcheck"]`) || !strings.Contains(said["COPY"], "--chown=65532:65532 /data /data") {
		t.Errorf("HEALTHCHECK is %q, COPY %q", said["HEALTHCHECK"], said["COPY"])
	}
}
