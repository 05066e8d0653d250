package main

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"
	"github.com/dustin/go-humanize"
	"github.com/joho/godotenv"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/handlers"
	"github.com/acitap/acitap/webhook"
)

// settings are what the environment, the env file and the flags say. The
// tags' names and defaults are those of .env.example; a test holds the two
// together.
type settings struct {
	URL          string `env:"APIC_URL" help:"the fabric's controllers, comma-separated, as https://apic1,https://apic2"`
	Login        string `env:"APIC_LOGIN" help:"user; with a login domain apic:DOMAIN\\user"`
	Password     secret `env:"APIC_PASSWORD"`
	PasswordFile string `env:"APIC_PASSWORD_FILE" help:"read the password from this file"`
	CertName     string `env:"APIC_CERT_NAME" help:"name of the user's certificate on the APIC, for signature login"`
	KeyFile      string `env:"APIC_KEY_FILE" help:"RSA key of that certificate (PEM)"`
	CAFile       string `env:"APIC_CA_FILE" help:"trust this CA (PEM) for the controllers"`
	Fingerprint  string `env:"APIC_TLS_FINGERPRINT" help:"trust exactly the certificate with this SHA-256 fingerprint"`
	Insecure     bool   `env:"APIC_TLS_INSECURE" help:"trust any certificate"`

	Fabric         string        `env:"ACITAP_FABRIC" envDefault:"default" help:"the fabric's name in events"`
	Subscriptions  string        `env:"ACITAP_SUBSCRIPTIONS" help:"classes or queries to subscribe at the start, comma- or newline-separated"`
	Listen         string        `env:"ACITAP_LISTEN" envDefault:"127.0.0.1:8080" help:"address to serve on"`
	TLSCertFile    string        `env:"ACITAP_TLS_CERT_FILE" help:"serve HTTPS with this certificate (PEM)"`
	TLSKeyFile     string        `env:"ACITAP_TLS_KEY_FILE" help:"and this key (PEM)"`
	DataDir        string        `env:"ACITAP_DATA_DIR" envDefault:"acitap-data" help:"directory of the log; one process at a time"`
	Retention      time.Duration `env:"ACITAP_RETENTION" envDefault:"168h" help:"how long history is held"`
	RetentionBytes byteSize      `env:"ACITAP_RETENTION_BYTES" envDefault:"10GiB" help:"how much history is held"`
	TokensFile     string        `env:"ACITAP_TOKENS_FILE" help:"who may call: lines of name role sha256, as acitap token prints them"`
	CORSOrigins    string        `env:"ACITAP_CORS_ORIGINS" help:"origins whose pages may call, comma-separated, as https://noc.example.com"`
	WebhookAllow   string        `env:"ACITAP_WEBHOOK_ALLOW" help:"networks that webhooks may reach although they are local, comma-separated, as 127.0.0.0/8"`
	WebhookCAFile  string        `env:"ACITAP_WEBHOOK_CA_FILE" help:"trust this CA (PEM) for the receivers of webhooks, beside the system's"`
	WebhookProxy   secret        `env:"ACITAP_WEBHOOK_PROXY" help:"proxy that webhooks are sent through, as http://proxy.example.com:3128"`
	WebhookNoProxy string        `env:"ACITAP_WEBHOOK_NO_PROXY" help:"names, domains and networks that webhooks reach without the proxy, comma-separated"`
	MaxStreams     int           `env:"ACITAP_MAX_STREAMS" envDefault:"20000" help:"open streams at the most"`
	LogLevel       slog.Level    `env:"ACITAP_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat      string        `env:"ACITAP_LOG_FORMAT" envDefault:"text" help:"text, or json for machines"`

	controllers []*url.URL
	key         *rsa.PrivateKey
	queries     []apic.Query
	origins     []string       // of CORSOrigins
	allow       []netip.Prefix // of WebhookAllow
	hooksTLS    *tls.Config    // of WebhookCAFile; nil: the system's
	hooksProxy  webhook.Proxy  // nil: none
}

// A secret is never printed.
type secret string

// LogValue keeps it out of logs.
func (secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// String keeps it out of everything else that formats.
func (secret) String() string { return "redacted" }

// GoString keeps it out of %#v.
func (secret) GoString() string { return "redacted" }

// MarshalText keeps it out of JSON, of the log's too.
func (secret) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// A byteSize is a number of bytes, written as 10GiB.
type byteSize int64

// UnmarshalText reads it.
func (b *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n == 0 || n > 1<<60 {
		return fmt.Errorf("%q is no size: write it as 10GiB or 500MB", text)
	}
	*b = byteSize(n)
	return nil
}

// older are names that the lab's credentials.py uses.
var older = map[string]string{"URL": "APIC_URL", "LOGIN": "APIC_LOGIN", "PASSWORD": "APIC_PASSWORD"}

// names lists the variables with their field indices, in the order of settings.
func names() []reflect.StructField {
	var list []reflect.StructField
	for f := range reflect.TypeFor[settings]().Fields() {
		if f.Tag.Get("env") != "" {
			list = append(list, f)
		}
	}
	return list
}

func flagName(variable string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, "ACITAP_")), "_", "-")
}

// load reads the settings: flags stand over the environment, the environment
// over the env file. All mistakes are reported at once. apicless settings need
// no APIC.
func load(command string, args, environ []string, stderr io.Writer, apicless bool) (*settings, error) {
	set := flag.NewFlagSet("acitap "+command, flag.ContinueOnError)
	set.SetOutput(stderr)
	envFile := set.String("env-file", "", "read settings from this `file` (default .env, where there is one)")
	given := make(map[string]*string)
	for _, f := range names() {
		if f.Type == reflect.TypeFor[secret]() { // a flag shows in the list of processes
			continue
		}
		variable := f.Tag.Get("env")
		if apicless && strings.HasPrefix(variable, "APIC_") {
			continue
		}
		help := f.Tag.Get("help") + " (" + variable
		if d := f.Tag.Get("envDefault"); d != "" {
			help += ", default " + d
		}
		given[variable] = set.String(flagName(variable), "", help+")")
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag: acitap %s takes flags only", set.Arg(0), command)
	}
	values, err := readEnvFile(*envFile)
	if err != nil {
		return nil, err
	}
	process := make(map[string]string)
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		process[name] = value
	}
	for from, to := range older {
		for _, m := range []map[string]string{values, process} {
			if m[from] != "" && m[to] == "" {
				m[to] = m[from]
			}
		}
	}
	var mistakes []error
	known := map[string]bool{"ACITAP_URL": true, "ACITAP_TOKEN": true} // of acitap tail
	for _, f := range names() {
		known[f.Tag.Get("env")] = true
	}
	for _, m := range []map[string]string{values, process} {
		for name := range m {
			if strings.HasPrefix(name, "ACITAP_") && !known[name] {
				mistakes = append(mistakes, fmt.Errorf("%s: there is no such setting%s", name, nearest(name, known)))
			}
		}
	}
	for name, value := range process {
		values[name] = value
	}
	set.Visit(func(f *flag.Flag) {
		for variable, value := range given {
			if f.Name == flagName(variable) {
				values[variable] = *value
			}
		}
	})
	s := new(settings)
	if err := env.ParseWithOptions(s, env.Options{Environment: values}); err != nil {
		var all env.AggregateError
		if !errors.As(err, &all) {
			return nil, err
		}
		for _, e := range all.Errors {
			var p env.ParseError
			if errors.As(e, &p) {
				f, _ := reflect.TypeFor[settings]().FieldByName(p.Name)
				e = fmt.Errorf("%s: %w", f.Tag.Get("env"), p.Err)
			}
			mistakes = append(mistakes, e)
		}
	}
	mistakes = append(mistakes, s.check(apicless)...)
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(mistakes...)
}

// nearest suggests the setting that was probably meant.
func nearest(name string, known map[string]bool) string {
	for k := range known {
		if strings.HasPrefix(k, "ACITAP_") && k != "ACITAP_URL" && k != "ACITAP_TOKEN" && (strings.Contains(name, strings.TrimPrefix(k, "ACITAP_")) || strings.Contains(k, strings.TrimPrefix(name, "ACITAP_"))) {
			return "; did you mean " + k + "?"
		}
	}
	return ""
}

var assignment = regexp.MustCompile(`^\s*(URL|LOGIN|PASSWORD)\s*=\s*(['"].*['"])\s*(#.*)?$`)

// readEnvFile reads an env file, or of the lab's credentials.py the lines that
// assign something to URL, LOGIN and PASSWORD. Without a name it is .env where
// there is one.
func readEnvFile(name string) (map[string]string, error) {
	explicit := name != ""
	if !explicit {
		name = ".env"
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return make(map[string]string), nil
	}
	if err != nil {
		return nil, fmt.Errorf("--env-file: %w", err)
	}
	text := string(b)
	if filepath.Ext(name) == ".py" {
		var lines []string
		for line := range strings.Lines(text) {
			if m := assignment.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
				lines = append(lines, m[1]+"="+m[2])
			}
		}
		text = strings.Join(lines, "\n")
	}
	values, err := godotenv.Unmarshal(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return values, nil
}

// check reads what the texts say and returns all mistakes, each with the
// variable's name.
func (s *settings) check(apicless bool) []error {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	if !apicless {
		if s.URL == "" {
			mistake("APIC_URL: missing; give the address of a controller, as https://apic1.example.com")
		}
		for part := range strings.SplitSeq(s.URL, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			u, err := url.Parse(part)
			switch {
			case err != nil:
				mistake("APIC_URL: %w", err)
			case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
				mistake("APIC_URL: %q is no address of a controller: write it as https://apic1.example.com", part)
			case u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
				mistake("APIC_URL: %q must be scheme and host only, as https://apic1.example.com", u.Redacted())
			default:
				u.Path = ""
				s.controllers = append(s.controllers, u)
			}
		}
		if s.Login == "" {
			mistake("APIC_LOGIN: missing; give the user that reads the fabric")
		}
		if s.PasswordFile != "" {
			if s.Password != "" {
				mistake("APIC_PASSWORD_FILE: give either it or APIC_PASSWORD")
			}
			b, err := os.ReadFile(s.PasswordFile)
			if err != nil {
				mistake("APIC_PASSWORD_FILE: %w", err)
			}
			s.Password = secret(strings.TrimRight(string(b), "\r\n"))
		}
		switch {
		case s.CertName != "" && s.KeyFile == "":
			mistake("APIC_KEY_FILE: missing; APIC_CERT_NAME needs the key of the certificate")
		case s.KeyFile != "" && s.CertName == "":
			mistake("APIC_CERT_NAME: missing; APIC_KEY_FILE needs the name of the certificate on the APIC")
		case s.KeyFile != "":
			var err error
			if s.key, err = readKey(s.KeyFile); err != nil {
				mistake("APIC_KEY_FILE: %w", err)
			}
		case s.Password == "" && s.PasswordFile == "":
			mistake("APIC_PASSWORD: missing; give it, or APIC_PASSWORD_FILE, or APIC_CERT_NAME and APIC_KEY_FILE")
		}
		trust := 0
		for _, given := range []bool{s.CAFile != "", s.Fingerprint != "", s.Insecure} {
			if given {
				trust++
			}
		}
		if trust > 1 {
			mistake("APIC_TLS_FINGERPRINT: give only one of APIC_CA_FILE, APIC_TLS_FINGERPRINT and APIC_TLS_INSECURE")
		}
		if _, err := apic.TLSConfig(s.CAFile, "", false); err != nil {
			mistake("APIC_CA_FILE: %w", err)
		}
		if _, err := apic.TLSConfig("", s.Fingerprint, false); err != nil {
			mistake("APIC_TLS_FINGERPRINT: %w", err)
		}
	}
	for item := range splitQueries(s.Subscriptions) {
		queries, err := parseSubscription(item)
		if err != nil {
			mistake("ACITAP_SUBSCRIPTIONS: %w", err)
		}
		s.queries = append(s.queries, queries...)
	}
	if host, _, err := net.SplitHostPort(s.Listen); err != nil {
		mistake("ACITAP_LISTEN: %w", err)
	} else if !loopback(host) && s.TokensFile == "" {
		mistake("ACITAP_LISTEN: %s is not a loopback address, and without tokens who can reach it could do everything: make one with \"acitap token NAME --role operator\" and give the file of its line as ACITAP_TOKENS_FILE, or listen on 127.0.0.1", s.Listen)
	}
	if s.TokensFile != "" {
		if _, err := handlers.OpenTokens(s.TokensFile, nil, nil); err != nil {
			mistake("ACITAP_TOKENS_FILE: %w", err)
		}
	}
	switch {
	case (s.TLSCertFile == "") != (s.TLSKeyFile == ""):
		mistake("ACITAP_TLS_KEY_FILE: ACITAP_TLS_CERT_FILE and ACITAP_TLS_KEY_FILE belong together")
	case s.TLSCertFile != "":
		if _, err := tls.LoadX509KeyPair(s.TLSCertFile, s.TLSKeyFile); err != nil {
			mistake("ACITAP_TLS_CERT_FILE: %w", err)
		}
	}
	for origin := range list(s.CORSOrigins) {
		if err := handlers.CheckOrigin(origin); err != nil {
			mistake("ACITAP_CORS_ORIGINS: %w", err)
		}
		s.origins = append(s.origins, origin)
	}
	for text := range list(s.WebhookAllow) {
		p, err := netip.ParsePrefix(text)
		if ip, alone := netip.ParseAddr(text); err != nil && alone == nil {
			p, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			mistake("ACITAP_WEBHOOK_ALLOW: %q is no network: write it as 127.0.0.0/8 or 10.1.2.3", text)
		}
		s.allow = append(s.allow, p.Masked())
	}
	if s.WebhookCAFile != "" {
		var err error
		if s.hooksTLS, err = trusting(s.WebhookCAFile); err != nil {
			mistake("ACITAP_WEBHOOK_CA_FILE: %w", err)
		}
	}
	switch {
	case s.WebhookProxy != "":
		var err error
		if s.hooksProxy, err = webhook.ParseProxy(string(s.WebhookProxy), s.WebhookNoProxy); err != nil {
			mistake("ACITAP_WEBHOOK_PROXY: %w", err)
		}
	case s.WebhookNoProxy != "":
		mistake("ACITAP_WEBHOOK_NO_PROXY: says what goes past the proxy, and there is none: set ACITAP_WEBHOOK_PROXY")
	}
	if s.Fabric == "" || len(s.Fabric) > 64 || strings.ContainsFunc(s.Fabric, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f }) {
		mistake("ACITAP_FABRIC: %q is no name: at most 64 bytes without spaces, commas and control characters", s.Fabric)
	}
	if s.DataDir == "" {
		mistake("ACITAP_DATA_DIR: must not be empty")
	}
	if s.Retention < time.Minute {
		mistake("ACITAP_RETENTION: %s is less than a minute", s.Retention)
	}
	if s.RetentionBytes < 16<<20 {
		mistake("ACITAP_RETENTION_BYTES: %d bytes are less than 16MiB", s.RetentionBytes)
	}
	if s.MaxStreams < 1 {
		mistake("ACITAP_MAX_STREAMS: %d is less than 1", s.MaxStreams)
	}
	if s.LogFormat != "text" && s.LogFormat != "json" {
		mistake("ACITAP_LOG_FORMAT: %q is neither text nor json", s.LogFormat)
	}
	return mistakes
}

// trusting returns a configuration that trusts the system's CAs and those of a
// file.
func trusting(file string) (*tls.Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // there are none, as in an image without them
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// list splits text at commas, spaces and lines.
func list(text string) iter.Seq[string] {
	return strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// splitQueries splits ACITAP_SUBSCRIPTIONS. A comma inside a query (of
// target-subtree-class, or a filter) splits nothing: what follows a comma and
// cannot begin an item belongs to the one before.
func splitQueries(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			item := ""
			for part := range strings.SplitSeq(strings.TrimSpace(line), ",") {
				part = strings.TrimSpace(part)
				if strings.Contains(item, "?") && !strings.HasPrefix(part, "/api/") && !strings.HasPrefix(part, "http") {
					item += "," + part
					continue
				}
				if item != "" && !yield(item) {
					return
				}
				item = part
			}
			if item != "" && !yield(item) {
				return
			}
		}
	}
}

func parseSubscription(item string) ([]apic.Query, error) {
	if strings.Contains(item, "/") {
		q, err := apic.ParseQuery(item)
		return []apic.Query{q}, err
	}
	classes, err := apic.ResolveClass(item)
	if err != nil {
		return nil, err
	}
	var queries []apic.Query
	for _, c := range classes {
		q, err := apic.NewQuery(c, "", "", "")
		if err != nil {
			return nil, err
		}
		if c.Statistics() {
			return nil, fmt.Errorf("%s is a statistics class, for which an APIC never pushes", c)
		}
		queries = append(queries, q)
	}
	return queries, nil
}

func readKey(file string) (*rsa.PrivateKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", file)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a %T, an APIC takes RSA only", file, key)
	}
	return rsaKey, nil
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
