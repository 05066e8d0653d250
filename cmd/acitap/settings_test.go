package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/joho/godotenv"
)

// given are the three values that have no default.
var given = []string{"APIC_URL=https://apic1", "APIC_LOGIN=reader", "APIC_PASSWORD=s3cret"}

// inEmptyDir makes sure that no .env of somebody is read.
func inEmptyDir(t *testing.T) string {
	dir := t.TempDir()
	t.Chdir(dir)
	return dir
}

func TestEnvExampleSaysTheDefaults(t *testing.T) {
	b, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	inEmptyDir(t)
	defaults, err := load("serve", nil, given, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(".env", b, 0o600)
	fromFile, err := load("serve", nil, given, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(defaults, fromFile) {
		t.Errorf(".env.example says\n%+v\nthe defaults are\n%+v", fromFile, defaults)
	}
	for _, f := range names() {
		if !strings.Contains(string(b), f.Tag.Get("env")+"=") {
			t.Errorf(".env.example does not mention %s", f.Tag.Get("env"))
		}
	}
	values, err := godotenv.UnmarshalBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for name := range values {
		if !slices.ContainsFunc(names(), func(f reflect.StructField) bool { return f.Tag.Get("env") == name }) {
			t.Errorf(".env.example holds %s, which is no setting", name)
		}
	}
}

// With tokens acitap may listen beyond loopback.
func TestTokensLetOthersIn(t *testing.T) {
	inEmptyDir(t)
	os.WriteFile("tokens", []byte("ann reader "+strings.Repeat("a", 64)+"\n"), 0o600)
	s, err := load("serve", nil, append(given, "ACITAP_LISTEN=:8443", "ACITAP_TOKENS_FILE=tokens", "ACITAP_CORS_ORIGINS=https://a.example", "ACITAP_WEBHOOK_ALLOW=10.1.2.3/8,::1", "ACITAP_TOKEN=of-tail"), io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.origins, s.allow); got != "[https://a.example] [10.0.0.0/8 ::1/128]" {
		t.Errorf("got %s", got)
	}
}

func TestFlagsStandOverEnvironmentOverFile(t *testing.T) {
	inEmptyDir(t)
	os.WriteFile(".env", []byte("ACITAP_FABRIC=file\nACITAP_LISTEN=127.0.0.1:1\nACITAP_DATA_DIR=file\n"), 0o600)
	s, err := load("serve", []string{"--fabric", "flag"}, append(given, "ACITAP_FABRIC=environment", "ACITAP_LISTEN=127.0.0.1:2"), io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	if s.Fabric != "flag" || s.Listen != "127.0.0.1:2" || s.DataDir != "file" {
		t.Errorf("got fabric %s, listen %s, data-dir %s", s.Fabric, s.Listen, s.DataDir)
	}
}

func TestCredentialsOfTheLab(t *testing.T) {
	dir := inEmptyDir(t)
	file := filepath.Join(dir, "credentials.py")
	os.WriteFile(file, []byte("\"\"\"\nFill in: URL = 'nobody'\n\"\"\"\nimport os\nURL = 'https://sandbox.example.com'  # the lab's\nLOGIN='admin'\nPASSWORD = \"pass#word\"\n"), 0o600)
	s, err := load("serve", []string{"--env-file", file}, nil, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	if s.controllers[0].Host != "sandbox.example.com" || s.Login != "admin" || string(s.Password) != "pass#word" {
		t.Errorf("got %v, %s, %q", s.controllers, s.Login, string(s.Password))
	}
}

func TestAllMistakesAtOnceEachWithItsName(t *testing.T) {
	inEmptyDir(t)
	for _, c := range []struct {
		environ []string
		want    []string
	}{
		{nil, []string{"APIC_URL: missing", "APIC_LOGIN: missing", "APIC_PASSWORD: missing"}},
		{[]string{
			"APIC_URL=apic1,https://user:pw@apic2/path", "ACITAP_RETENTION=week", "ACITAP_RETENTION_BYTES=lots", "ACITAP_LISTEN=8080",
			"ACITAP_LOG_LEVEL=loud", "ACITAP_LOG_FORMAT=xml", "ACITAP_FABRIC=a b", "ACITAP_SUBSCRIPTIONS=fvTenant,Nonsense", "ACITAP_MAX_STREAMS=0",
			"APIC_TLS_FINGERPRINT=abc", "APIC_CA_FILE=nowhere", "APIC_CERT_NAME=x", "ACITAP_TLS_CERT_FILE=x", "ACITAP_RETENTON=1h",
		}, []string{
			"APIC_URL: \"apic1\"", "APIC_URL: \"https://user:xxxxx@apic2/path\"", "ACITAP_RETENTION:", "ACITAP_RETENTION_BYTES:", "ACITAP_LISTEN:", "ACITAP_LOG_LEVEL:",
			"ACITAP_LOG_FORMAT:", "ACITAP_FABRIC:", "ACITAP_SUBSCRIPTIONS:", "ACITAP_MAX_STREAMS:", "APIC_TLS_FINGERPRINT:", "APIC_CA_FILE:", "APIC_KEY_FILE:", "ACITAP_TLS_KEY_FILE:",
			"ACITAP_RETENTON: there is no such setting",
		}},
		{[]string{"ACITAP_LISTEN=0.0.0.0:80"}, []string{"ACITAP_LISTEN: 0.0.0.0:80 is not a loopback address", "acitap token NAME", "ACITAP_TOKENS_FILE"}},
		{[]string{"ACITAP_TOKENS_FILE=nowhere", "ACITAP_CORS_ORIGINS=https://a.example *,b.example", "ACITAP_WEBHOOK_ALLOW=10.0.0.0/8,::1,x", "ACITAP_WEBHOOK_CA_FILE=.env", "ACITAP_WEBHOOK_PROXY=socks5://u:pw@proxy", "ACITAP_TLS_CERT_FILE=nowhere", "ACITAP_TLS_KEY_FILE=nowhere"},
			[]string{"ACITAP_TOKENS_FILE: open nowhere", "ACITAP_CORS_ORIGINS: *", `ACITAP_CORS_ORIGINS: "b.example"`, `ACITAP_WEBHOOK_ALLOW: "x"`, "ACITAP_WEBHOOK_CA_FILE: ", "ACITAP_WEBHOOK_PROXY: must be the URL of a proxy", "ACITAP_TLS_CERT_FILE: open nowhere"}},
		{[]string{"ACITAP_WEBHOOK_NO_PROXY=10.0.0.0/8"}, []string{"ACITAP_WEBHOOK_NO_PROXY: ", "set ACITAP_WEBHOOK_PROXY"}},
	} {
		var out bytes.Buffer
		code := run(t.Context(), []string{"serve"}, c.environ, io.Discard, &out)
		if code != exitUsage {
			t.Errorf("exit status %d, want %d", code, exitUsage)
		}
		for _, w := range c.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%v: the message lacks %q:\n%s", c.environ, w, out.String())
			}
		}
		if strings.Contains(out.String(), "pw") {
			t.Errorf("the message shows a password:\n%s", out.String())
		}
	}
}

func TestSubscriptionsAreSplitOutsideQueriesOnly(t *testing.T) {
	got := slices.Collect(splitQueries("fvTenant, EPG\n/api/mo/uni/tn-p.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD,/api/class/fvCtx.json\nfaultInst"))
	want := []string{"fvTenant", "EPG", "/api/mo/uni/tn-p.json?query-target=subtree&target-subtree-class=fvAEPg,fvBD", "/api/class/fvCtx.json", "faultInst"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommands(t *testing.T) {
	for args, code := range map[string]int{"": exitUsage, "version": exitOK, "help": exitOK, "nonsense": exitUsage, "serve --nonsense": exitUsage, "serve extra": exitUsage, "sim --listen 10.0.0.1:1": exitUsage, "sim -h": exitOK, "demo -h": exitOK} {
		if got := run(t.Context(), strings.Fields(args), given, io.Discard, io.Discard); got != code {
			t.Errorf("acitap %s: exit status %d, want %d", args, got, code)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	inEmptyDir(t)
	s, err := load("serve", nil, given, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, s.LogFormat = range []string{"text", "json"} {
		s.logger(&out).Info("settings", "all", s, "value", *s, "password", s.Password, "pointer", &s.Password)
		fmt.Fprintf(&out, "%v %+v %#v %s %q", s, *s, *s, s.Password, s.Password)
	}
	if strings.Contains(out.String(), "s3cret") {
		t.Errorf("the log shows the password: %s", out.String())
	}
}

func TestVersion(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "891050a9c05f120328c7439e0ea4cc5d6f65d535"}, {Key: "vcs.modified", Value: "true"}}
	for _, c := range []struct {
		main     string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", commit, "v1.2.3"},
		{"v0.0.0-20261124132413-891050a9c05f+dirty", commit, "v0.0.0-20261124132413-891050a9c05f+dirty"},
		{"(devel)", commit, "devel-891050a9c05f-modified"},
		{"(devel)", nil, "devel"},
		{"", commit[:1], "devel-891050a9c05f"},
	} {
		if got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: c.main}, Settings: c.settings}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.main, got, c.want)
		}
	}
}
