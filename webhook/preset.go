package webhook

import (
	"slices"
	"strings"
)

// A Preset is the form in which a system that many have takes events. Its name
// as the field preset of a webhook stands for the fields below.
type Preset struct {
	Name        string
	Title       string // of the system
	Format      Format
	Template    string
	ContentType string
	Include     bool     // of the whole object, which the template reads
	URL         string   // what the system's URL looks like
	Headers     []string // that the system needs, with the form of their values
}

// MarshalJSON encodes the preset in the words of a definition.
func (p Preset) MarshalJSON() ([]byte, error) {
	v := struct {
		Name        string            `json:"name"`
		Title       string            `json:"title"`
		Format      Format            `json:"format"`
		Template    string            `json:"template,omitempty"`
		ContentType string            `json:"contentType,omitempty"`
		Include     string            `json:"include,omitempty"`
		URL         string            `json:"url"`
		Headers     map[string]string `json:"headers"`
	}{Name: p.Name, Title: p.Title, Format: p.Format, Template: p.Template, ContentType: p.ContentType, URL: p.URL, Headers: make(map[string]string)}
	if p.Include {
		v.Include = includeObject
	}
	for _, h := range p.Headers {
		name, form, _ := strings.Cut(h, ": ")
		v.Headers[name] = form
	}
	return encode(v)
}

// Presets returns the presets, sorted by name. Each has a page in
// docs/webhooks, and a test against a receiver that checks what the system has
// published.
func Presets() []Preset { return slices.Clone(presets) }

var presets = []Preset{
	{
		Name: "ansible-eda", Title: "Event-Driven Ansible", Format: FormatEvent, Include: true,
		URL: "http://eda.example.com:5000/endpoint", Headers: []string{"Authorization: Bearer TOKEN"},
	},
	{
		Name: "generic", Title: "a receiver of your own", Format: FormatEvent,
		URL: "https://noc.example.com/hook",
	},
	{
		Name: "pagerduty", Title: "PagerDuty", Format: FormatTemplate, Template: pagerduty, ContentType: typeJSON, Include: true,
		URL: "https://events.pagerduty.com/v2/enqueue", Headers: []string{"X-Routing-Key: INTEGRATION_KEY"},
	},
	{
		Name: "servicenow", Title: "ServiceNow Event Management", Format: FormatTemplate, Template: servicenow, ContentType: typeJSON, Include: true,
		URL: "https://INSTANCE.service-now.com/api/global/em/jsonv2", Headers: []string{"Authorization: Basic CREDENTIALS"},
	},
	{
		Name: "slack", Title: "Slack", Format: FormatSlack,
		URL: "https://hooks.slack.com/services/T…/B…/…",
	},
	{
		Name: "stackstorm", Title: "StackStorm", Format: FormatEvent, Include: true,
		URL: "https://st2.example.com/api/v1/webhooks/acitap", Headers: []string{"St2-Api-Key: KEY"},
	},
	{
		Name: "teams", Title: "Microsoft Teams", Format: FormatTeams,
		URL: "https://….powerplatform.com/…/triggers/manual/paths/invoke?…&sig=…",
	},
}

func presetOf(name string) *Preset {
	for i := range presets {
		if presets[i].Name == name {
			return &presets[i]
		}
	}
	return nil
}

func presetNames() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.Name
	}
	return names
}

// pagerduty makes an event of PagerDuty's Events API v2. An object opens an
// alert and its end resolves it: they share a dedup_key. A severity of cleared
// is an end too.
const pagerduty = `{{- $sev := .object.severity -}}
{{- $over := or (eq .status "deleted") (eq $sev "cleared") -}}
{
  "routing_key": {{json (header "X-Routing-Key")}},
  "event_action": "{{if $over}}resolve{{else}}trigger{{end}}",
  "dedup_key": {{if .kind}}{{json (key 255 (printf "acitap gap %s %s" .fabric (default .time .from)))}}{{else}}{{json (key 255 (printf "%s %s" .fabric .dn))}}{{end}},
  "client": "acitap",
  "payload": {
    "summary": {{json (short 1024 (summary .))}},
    "source": {{json (short 255 (default (default "acitap" .fabric) .path.node))}},
    "severity": "{{if .kind}}{{if .healed}}info{{else}}warning{{end}}{{else}}{{pick $sev "critical" "critical" "major" "error" "minor" "warning" "warning" "warning" "info"}}{{end}}",
    "timestamp": {{json .time}},
    "component": {{json (short 255 (default "fabric" .dn))}},
    "group": {{json (short 255 (default (default "acitap" .fabric) .path.tenant))}},
    "class": {{json (default "gap" .class)}},
    "custom_details": {{json (brief .)}}
  }
}
`

// servicenow makes a record of ServiceNow's Event Management. Severity 0
// closes the alert with the same message_key.
const servicenow = `{{- $sev := .object.severity -}}
{{- $over := or (eq .status "deleted") (eq $sev "cleared") -}}
{
  "records": [
    {
      "source": "acitap",
      "event_class": {{json (short 100 (default "acitap" .fabric))}},
      "node": {{json (short 100 (default (default "acitap" .fabric) .path.node))}},
      "resource": {{json (key 100 (default "fabric" .dn))}},
      "metric_name": {{json (short 100 (default (default "gap" .class) .object.code))}},
      "type": {{json (short 100 (default "gap" .class))}},
      "message_key": {{if .kind}}{{json (key 1024 (printf "acitap gap %s %s" .fabric (default .time .from)))}}{{else}}{{json (key 1024 (printf "%s %s" .fabric .dn))}}{{end}},
      "severity": "{{if .kind}}{{if .healed}}5{{else}}3{{end}}{{else if $over}}0{{else}}{{pick $sev "critical" "1" "major" "2" "minor" "3" "warning" "4" "5"}}{{end}}",
      "resolution_state": "{{if $over}}Closing{{else}}New{{end}}",
      "description": {{json (short 4000 (summary .))}},
      "additional_info": {{json (json (brief .))}}
    }
  ]
}
`
