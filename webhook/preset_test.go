package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/webhook"
)

// The receivers below check what the systems have published about what they
// take, and refuse everything else as the systems do.

// object reads a JSON object strictly: names that are not in allowed are
// refused, as the test is about what is sent and not about what is tolerated.
func object(b []byte, required string, optional string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	need := strings.Fields(required)
	for _, name := range need {
		if _, ok := m[name]; !ok {
			return nil, fmt.Errorf("%s is missing in %.300s", name, b)
		}
	}
	for name := range m {
		if !slices.Contains(need, name) && !slices.Contains(strings.Fields(optional), name) {
			return nil, fmt.Errorf("%s is not known", name)
		}
	}
	return m, nil
}

func text(m map[string]json.RawMessage, name string, low, high int) (string, error) {
	var s string
	if err := json.Unmarshal(m[name], &s); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if n := utf8.RuneCountInString(s); n < low || n > high {
		return "", fmt.Errorf("%s has %d characters, it may have %d to %d", name, n, low, high)
	}
	return s, nil
}

// slackStrict follows docs.slack.dev: incoming webhooks, section block, text
// object, escaping, and 40,000 characters in all.
func slackStrict(r *http.Request, b []byte) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
	}
	if len(b) > 40_000*4 {
		return fmt.Errorf("%d bytes", len(b))
	}
	m, err := object(b, "text blocks", "")
	if err != nil {
		return err
	}
	if _, err := text(m, "text", 1, 40_000); err != nil {
		return err
	}
	var blocks []json.RawMessage
	if err := json.Unmarshal(m["blocks"], &blocks); err != nil || len(blocks) == 0 || len(blocks) > 50 {
		return fmt.Errorf("%d blocks: %w", len(blocks), err)
	}
	for _, raw := range blocks {
		block, err := object(raw, "type text", "")
		if err != nil {
			return err
		}
		if string(block["type"]) != `"section"` {
			return fmt.Errorf("block of type %s", block["type"])
		}
		t, err := object(block["text"], "type text", "verbatim")
		if err != nil {
			return err
		}
		if string(t["type"]) != `"mrkdwn"` {
			return fmt.Errorf("text of type %s", t["type"])
		}
		s, err := text(t, "text", 1, 3000)
		if err != nil {
			return err
		}
		plain := strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(s)
		if strings.ContainsAny(plain, "<>&") {
			return fmt.Errorf("an unescaped control character in %q", s)
		}
	}
	return nil
}

// teamsStrict follows learn.microsoft.com: the message that a workflow takes,
// and the schema of adaptive cards as far as the elements used.
func teamsStrict(r *http.Request, b []byte) error {
	if len(b) > 28<<10 {
		return fmt.Errorf("%d bytes, of which Teams takes 28 KB", len(b))
	}
	m, err := object(b, "type attachments", "")
	if err != nil {
		return err
	}
	if string(m["type"]) != `"message"` {
		return fmt.Errorf("type %s", m["type"])
	}
	var list []json.RawMessage
	if err := json.Unmarshal(m["attachments"], &list); err != nil || len(list) != 1 {
		return fmt.Errorf("%d attachments: %w", len(list), err)
	}
	a, err := object(list[0], "contentType content", "contentUrl")
	if err != nil {
		return err
	}
	if string(a["contentType"]) != `"application/vnd.microsoft.card.adaptive"` {
		return fmt.Errorf("contentType %s", a["contentType"])
	}
	card, err := object(a["content"], "$schema type version body", "")
	if err != nil {
		return err
	}
	if string(card["type"]) != `"AdaptiveCard"` || !regexp.MustCompile(`^"1\.[2-5]"$`).Match(card["version"]) {
		return fmt.Errorf("type %s version %s: TextRun is there since 1.2", card["type"], card["version"])
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(card["body"], &rows); err != nil || len(rows) == 0 {
		return fmt.Errorf("%d rows: %w", len(rows), err)
	}
	for _, raw := range rows {
		row, err := object(raw, "type inlines", "separator")
		if err != nil {
			return err
		}
		if string(row["type"]) != `"RichTextBlock"` {
			return fmt.Errorf("row of type %s", row["type"])
		}
		var runs []json.RawMessage
		if err := json.Unmarshal(row["inlines"], &runs); err != nil || len(runs) == 0 {
			return fmt.Errorf("%d runs: %w", len(runs), err)
		}
		for _, raw := range runs {
			run, err := object(raw, "type text", "weight fontType isSubtle")
			if err != nil {
				return err
			}
			if string(run["type"]) != `"TextRun"` || len(run["weight"]) > 0 && string(run["weight"]) != `"Bolder"` || len(run["fontType"]) > 0 && string(run["fontType"]) != `"Monospace"` {
				return fmt.Errorf("run %s", raw)
			}
			if _, err := text(run, "text", 1, 28<<10); err != nil {
				return err
			}
		}
	}
	return nil
}

// pagerdutyStrict follows the Events API v2: POST /v2/enqueue.
func pagerdutyStrict(r *http.Request, b []byte) error {
	if len(b) > 512<<10 {
		return fmt.Errorf("%d bytes, of which 512 KB are taken", len(b))
	}
	m, err := object(b, "routing_key event_action payload", "dedup_key client client_url links images")
	if err != nil {
		return err
	}
	key, err := text(m, "routing_key", 32, 32)
	if err != nil {
		return err
	}
	if key != "R0123456789ABCDEF0123456789ABCDE" {
		return fmt.Errorf("routing_key %s", key)
	}
	action, err := text(m, "event_action", 1, 20)
	if err != nil || !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, action) {
		return fmt.Errorf("event_action %q: %w", action, err)
	}
	if _, err := text(m, "dedup_key", 1, 255); err != nil {
		return err
	}
	p, err := object(m["payload"], "summary source severity", "timestamp component group class custom_details")
	if err != nil {
		return err
	}
	if _, err := text(p, "summary", 1, 1024); err != nil {
		return err
	}
	if _, err := text(p, "source", 1, 255); err != nil {
		return err
	}
	severity, err := text(p, "severity", 1, 20)
	if err != nil || !slices.Contains([]string{"critical", "error", "warning", "info"}, severity) {
		return fmt.Errorf("severity %q: %w", severity, err)
	}
	stamp, err := text(p, "timestamp", 1, 40)
	if err != nil {
		return err
	}
	if _, err := time.Parse(time.RFC3339, stamp); err != nil {
		return err
	}
	_, err = object(p["custom_details"], "", "id time kind fabric class dn path status origin attributes changes object classes from to reason healed asked oldest")
	return err
}

// servicenowStrict follows the event form of Event Management and its web
// service API.
func servicenowStrict(r *http.Request, b []byte) error {
	if user, password, ok := r.BasicAuth(); !ok || user != "acitap" || password != "secret" {
		return fmt.Errorf("Authorization %q", r.Header.Get("Authorization"))
	}
	m, err := object(b, "records", "")
	if err != nil {
		return err
	}
	var records []json.RawMessage
	if err := json.Unmarshal(m["records"], &records); err != nil || len(records) != 1 {
		return fmt.Errorf("%d records: %w", len(records), err)
	}
	e, err := object(records[0], "source severity", "event_class node resource metric_name type message_key description additional_info resolution_state time_of_event ci_type")
	if err != nil {
		return err
	}
	for name, high := range map[string]int{"source": 100, "event_class": 100, "node": 100, "resource": 100, "metric_name": 100, "type": 100, "message_key": 1024, "description": 4000} {
		if _, err := text(e, name, 1, high); err != nil {
			return err
		}
	}
	if s, err := text(e, "severity", 1, 1); err != nil || !strings.Contains("012345", s) {
		return fmt.Errorf("severity %q: %w", s, err)
	}
	if s, err := text(e, "resolution_state", 1, 10); err != nil || s != "New" && s != "Closing" {
		return fmt.Errorf("resolution_state %q: %w", s, err)
	}
	info, err := text(e, "additional_info", 2, 1<<20)
	if err != nil {
		return err
	}
	var inner map[string]any
	return json.Unmarshal([]byte(info), &inner)
}

// edaStrict does what the webhook source of ansible.eda does with hmac_secret
// set: hmac_header x-hub-signature-256, hmac_algo sha256, hmac_format hex.
func edaStrict(secret string) func(r *http.Request, b []byte) error {
	return func(r *http.Request, b []byte) error {
		if scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " "); scheme != "Bearer" || token != "hello" {
			return fmt.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		digest := strings.TrimPrefix(strings.TrimSpace(r.Header.Get("x-hub-signature-256")), "sha256=")
		m := hmac.New(sha256.New, []byte(secret))
		m.Write(b)
		if want := hex.EncodeToString(m.Sum(nil)); digest != want {
			return fmt.Errorf("got digest %s, want %s", digest, want)
		}
		return eventStrict(r, b)
	}
}

// stackstormStrict follows docs.stackstorm.com: webhooks.
func stackstormStrict(r *http.Request, b []byte) error {
	if r.URL.Path != "/api/v1/webhooks/acitap" || r.Header.Get("St2-Api-Key") != "key" {
		return fmt.Errorf("%s with %q", r.URL.Path, r.Header)
	}
	if r.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
	}
	return eventStrict(r, b)
}

// eventStrict follows acitap's own contract.
func eventStrict(_ *http.Request, b []byte) error {
	m, err := object(b, "time", "id kind fabric class dn path status origin attributes changes object classes from to reason healed asked oldest")
	if err != nil {
		return err
	}
	if string(m["kind"]) == `"gap"` {
		_, err = object(b, "time kind reason healed", "id fabric classes from to asked oldest")
		return err
	}
	_, err = object(b, "id time fabric class dn path status origin attributes", "changes object")
	return err
}

func TestPresets(t *testing.T) {
	secret := webhook.NewSecret().Reveal()
	cases := map[string]struct {
		path    string
		headers string
		check   func(r *http.Request, b []byte) error
		answer  int
	}{
		"slack":       {"/services/T0/B0/x", `{}`, slackStrict, 200},
		"teams":       {"/workflows/1/triggers/manual/paths/invoke?api-version=1&sig=abc", `{}`, teamsStrict, 202},
		"pagerduty":   {"/v2/enqueue", `{"X-Routing-Key":"R0123456789ABCDEF0123456789ABCDE"}`, pagerdutyStrict, 202},
		"servicenow":  {"/api/global/em/jsonv2", `{"Authorization":"Basic YWNpdGFwOnNlY3JldA=="}`, servicenowStrict, 200},
		"ansible-eda": {"/endpoint", `{"Authorization":"Bearer hello"}`, edaStrict(secret), 200},
		"stackstorm":  {"/api/v1/webhooks/acitap", `{"St2-Api-Key":"key"}`, stackstormStrict, 202},
		"generic":     {"/hook", `{}`, eventStrict, 200},
	}
	for _, p := range webhook.Presets() {
		c, ok := cases[p.Name]
		if !ok {
			t.Errorf("preset %s has no receiver that checks it", p.Name)
			continue
		}
		for _, batch := range []int{1, 10} {
			if batch > 1 && p.Format != webhook.FormatSlack && p.Format != webhook.FormatTeams {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", p.Name, batch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					v := r.receive("192.0.2.7:80")
					v.secret = secret
					var refused []string
					v.answer = func(w http.ResponseWriter, req *http.Request, d delivery) {
						v.mu.Lock()
						defer v.mu.Unlock()
						if req.URL.RequestURI() != c.path {
							refused = append(refused, req.URL.RequestURI())
						}
						if err := c.check(req, d.body); err != nil {
							refused = append(refused, fmt.Sprintf("%v\n%s", err, d.body))
							w.WriteHeader(400)
							return
						}
						w.WriteHeader(c.answer)
					}
					entries := hostile()
					first := r.line.add(entries...)[0]
					r.create(fmt.Sprintf(`{"name":"x","preset":%q,"url":"http://192.0.2.7%s","headers":%s,"secret":%q,"since":%d,"batch":%d}`, p.Name, c.path, c.headers, secret, first-1, batch))
					time.Sleep(10 * time.Second)
					v.mu.Lock()
					defer v.mu.Unlock()
					if len(refused) > 0 {
						t.Fatalf("refused: %s", strings.Join(refused[:min(3, len(refused))], "\n"))
					}
					if len(v.wrong) > 0 {
						t.Errorf("signatures refused: %v", v.wrong)
					}
					if want := (len(entries) + batch - 1) / batch; len(v.got) < want {
						t.Errorf("got %d requests, want %d at least", len(v.got), want)
					}
					if got := r.service.List()[0]; got.Lag != 0 {
						t.Errorf("got lag %d, want 0", got.Lag)
					}
				})
			})
		}
	}
}

// hostile are entries whose texts are of every kind that breaks what is put
// together without care.
func hostile() []apic.Entry {
	nasty := "\"quoted\" back\\slash\nline\ttab <b>&amp; `code` *bold* [link](http://evil) {{.dn}} @here <!channel> \u2028 \x00 ü 漢字"
	long := strings.Repeat("長い\"", 3000)
	deep := apic.DN("uni/tn-x/" + strings.Repeat("ap-aaaaaaaaaaaaaaaaaaaaaaaa/", 60) + "epg-<web>")
	fault := func(status apic.Status, severity string) apic.Entry {
		e := event("faultInst", "topology/pod-1/node-101/sys/phys-[eth1/1]/phys/fault-F0546", status, "severity", severity, "code", "F0546", "descr", nasty, "cause", "port-failure")
		return e
	}
	modified := event("fvAEPg", deep, apic.Modified, "descr", long)
	var changes []apic.Change
	for i := range 40 {
		changes = append(changes, apic.Change{Name: fmt.Sprintf("attr%d", i), Old: long, New: nasty})
	}
	modified.Event.Changes = changes
	modified.Event.Object = apic.AttrsMap(map[string]string{"descr": long, "name": nasty, "severity": strings.Repeat("<", 100)})
	resync := fault(apic.Deleted, "major")
	resync.Event.Origin = apic.Resync
	unknown := apic.Entry{Event: &apic.Event{Time: apic.Now(), Class: "fvTenant", DN: "uni", Status: apic.Deleted, Origin: apic.Live}}
	open := gap(apic.ReasonSilent)
	open.Gap.Healed = false
	return []apic.Entry{
		tenant(1), fault(apic.Created, "critical"), fault(apic.Created, "major"), fault(apic.Created, "minor"), fault(apic.Created, "warning"),
		fault(apic.Modified, "cleared"), fault(apic.Created, "no-such"), modified, resync, unknown, gap(apic.ReasonConnection, "fvTenant", "faultInst"), open,
		event("aaaModLR", "subj-[uni/tn-x]/mod-1", apic.Created, "descr", nasty, "user", nasty, "changeSet", long),
	}
}

// whole has the object known that a modified event is about.
func whole(e apic.Entry) apic.Entry {
	e.Event.Object = e.Event.Attributes
	return e
}

// TestPagerDutyPairs checks that what opens an alert and what ends it have one
// dedup_key, and that long DNs keep apart.
func TestPagerDutyPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		v := r.receive("192.0.2.7:80")
		r.create(`{"name":"x","preset":"pagerduty","url":"http://192.0.2.7/v2/enqueue","headers":{"X-Routing-Key":"k"}}`)
		long := "uni/tn-x/" + strings.Repeat("ap-aaaaaaaaaaaaaaaaaaaaaaaa/", 60)
		r.line.add(
			event("faultInst", apic.DN(long+"fault-F1"), apic.Created, "severity", "major"),
			event("faultInst", apic.DN(long+"fault-F2"), apic.Created, "severity", "major"),
			whole(event("faultInst", apic.DN(long+"fault-F1"), apic.Modified, "severity", "cleared")),
			event("faultInst", apic.DN(long+"fault-F2"), apic.Deleted),
		)
		time.Sleep(time.Second)
		var got []string
		keys := map[string]int{}
		for _, d := range v.all() {
			var m struct {
				EventAction string `json:"event_action"`
				DedupKey    string `json:"dedup_key"`
			}
			if err := json.Unmarshal(d.body, &m); err != nil {
				t.Fatal(err)
			}
			if _, ok := keys[m.DedupKey]; !ok {
				keys[m.DedupKey] = len(keys)
			}
			got = append(got, fmt.Sprintf("%s %d", m.EventAction, keys[m.DedupKey]))
		}
		want := []string{"trigger 0", "trigger 1", "resolve 0", "resolve 1"}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
