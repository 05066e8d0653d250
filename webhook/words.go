package webhook

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/acitap/acitap/apic"
)

// A note is what people are told of an item: the same words in Slack, in Teams
// and where a template asks for a summary.
type note struct {
	title string // one line, without what the fabric's users wrote
	about string // the DN, or what the gap is about
	facts []fact
	hint  string // what to make of it
}

type fact struct{ name, value string }

const (
	maxFacts = 10
	maxValue = 300 // characters
	maxAbout = 600
	maxLine  = 150
)

func noteOf(i *item) note {
	switch {
	case i.Entry == nil:
		return note{
			title: "Gap: events before this place are lost",
			facts: []fact{{"reason", i.hole.reason}, {"place asked for", fmt.Sprint(int64(i.hole.asked))}, {"goes on with", fmt.Sprint(int64(i.hole.oldest))}},
			hint:  "Retention has removed events that this webhook had not sent. Compare with GET /objects/{class}, which shows what is true now.",
		}
	case i.Gap != nil:
		return gapNote(i.Gap)
	}
	return eventNote(i.Event)
}

func gapNote(g *apic.Gap) note {
	n := note{title: "Gap: the fabric was out of sight", facts: []fact{{"fabric", g.Fabric}}}
	classes := make([]string, len(g.Classes))
	for i, c := range g.Classes {
		classes[i] = string(c)
	}
	if g.Fabric == "" {
		n.facts = nil
	}
	n.about = cut(strings.Join(classes, ", "), maxAbout)
	if n.about == "" {
		n.about = "all classes"
	}
	n.facts = append(n.facts, fact{"from", clock(g.From)}, fact{"to", clock(g.To)}, fact{"reason", g.Reason})
	n.hint = "The state is whole again; values in between are lost."
	if !g.Healed {
		n.hint = "The state may still differ from the fabric; another comparison follows."
	}
	return n
}

// telling are attributes worth showing when there is no change to show, as far
// as an object has them.
var telling = []string{"severity", "code", "cause", "descr", "lc", "rule", "changeSet", "user", "affected", "name", "operSt", "adminSt", "ip", "mac"}

func eventNote(v *apic.Event) note {
	n := note{title: string(v.Class) + " " + string(v.Status), about: cut(string(v.DN), maxAbout)}
	whole := v.Object
	if whole.IsZero() {
		whole = v.Attributes
	}
	n.facts = append(n.facts, fact{"fabric", v.Fabric})
	if v.Status == apic.Modified {
		for _, c := range v.Changes {
			n.facts = append(n.facts, fact{c.Name, fmt.Sprintf("%s → %s", quoted(c.Old), quoted(c.New))})
		}
	}
	n.facts = slices.DeleteFunc(n.facts, func(f fact) bool { return f.value == "" })
	if sev := whole.Get("severity"); sev != "" {
		n.title += " (" + cut(sev, 20) + ")"
	}
	for _, name := range telling {
		value := whole.Get(name)
		if value == "" || value == "unspecified" || hasFact(n.facts, name) {
			continue
		}
		n.facts = append(n.facts, fact{name, cut(value, maxValue)})
	}
	n.facts = n.facts[:min(len(n.facts), maxFacts)]
	n.facts = append(n.facts, fact{"time", clock(v.Time)})
	switch v.Origin {
	case apic.Resync:
		n.hint = "Found by comparing after an outage: the moment is approximate."
	case apic.Snapshot:
		n.hint = "It existed when its subscription began."
	}
	return n
}

func hasFact(facts []fact, name string) bool {
	for _, f := range facts {
		if f.name == name {
			return true
		}
	}
	return false
}

func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return cut(s, maxValue/2)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// line is the note in one line.
func (n *note) line() string {
	s := n.title
	if n.about != "" {
		s += ": " + n.about
	}
	for _, f := range n.facts {
		if f.name == "descr" {
			s += ": " + f.value
		}
	}
	return s
}

// cut returns the first n characters, with … in place of the rest, as one line
// of valid text.
func cut(s string, n int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	at := 0
	for range n - 1 {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at] + "…"
}

// JSON of Slack and Teams, as far as it is used.
type (
	slackMessage struct {
		Text   string       `json:"text"`
		Blocks []slackBlock `json:"blocks"`
	}
	slackBlock struct {
		Type string    `json:"type"`
		Text slackText `json:"text"`
	}
	slackText struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Verbatim bool   `json:"verbatim"`
	}
)

// slackEscaper takes their meaning from what Slack would read as a link, a
// mention or the end of code.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")

const slackLimit = 3000 // characters of a block's text

// slack renders a message with a block for each item. What comes from the
// fabric stands as code, so that nothing in it is formatting.
func slack(items []item) []byte {
	var m slackMessage
	for i := range items {
		n := noteOf(&items[i])
		if i == 0 {
			m.Text = slackEscaper.Replace(cut(n.line(), maxLine*2))
		}
		var b strings.Builder
		fmt.Fprintf(&b, "*%s*", slackEscaper.Replace(n.title))
		if n.about != "" {
			fmt.Fprintf(&b, "\n`%s`", slackEscaper.Replace(n.about))
		}
		for _, f := range n.facts {
			line := fmt.Sprintf("\n%s: `%s`", slackEscaper.Replace(cut(f.name, 60)), slackEscaper.Replace(f.value))
			if utf8.RuneCountInString(b.String())+utf8.RuneCountInString(line) > slackLimit-200 {
				b.WriteString("\n…")
				break
			}
			b.WriteString(line)
		}
		if n.hint != "" {
			fmt.Fprintf(&b, "\n_%s_", n.hint)
		}
		m.Blocks = append(m.Blocks, slackBlock{"section", slackText{"mrkdwn", b.String(), true}})
	}
	if len(items) > 1 {
		m.Text += fmt.Sprintf(" and %d more", len(items)-1)
	}
	return mustEncode(m)
}

type (
	teamsMessage struct {
		Type        string            `json:"type"`
		Attachments []teamsAttachment `json:"attachments"`
	}
	teamsAttachment struct {
		ContentType string    `json:"contentType"`
		ContentURL  *string   `json:"contentUrl"`
		Content     teamsCard `json:"content"`
	}
	teamsCard struct {
		Schema  string     `json:"$schema"`
		Type    string     `json:"type"`
		Version string     `json:"version"`
		Body    []teamsRow `json:"body"`
	}
	teamsRow struct {
		Type      string     `json:"type"`
		Separator bool       `json:"separator,omitempty"`
		Inlines   []teamsRun `json:"inlines"`
	}
	teamsRun struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Weight   string `json:"weight,omitempty"`
		FontType string `json:"fontType,omitempty"`
		IsSubtle bool   `json:"isSubtle,omitempty"`
	}
)

const teamsLimit = 24 << 10 // bytes, of the 28 KB that Teams takes

// teams renders an adaptive card. Text runs have no Markdown, so that nothing
// that comes from the fabric is formatting, or a link.
func teams(items []item) []byte {
	card := teamsCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4"}
	row := func(separator bool, runs ...teamsRun) {
		card.Body = append(card.Body, teamsRow{"RichTextBlock", separator, runs})
	}
	each := teamsLimit / len(items)
	for i := range items {
		n := noteOf(&items[i])
		about := n.about
		if len(items) > 1 {
			about = cut(about, 200)
		}
		row(i > 0, teamsRun{Type: "TextRun", Text: n.title, Weight: "Bolder"})
		size := 400 + size(n.title) + size(about) + size(n.hint)
		if about != "" {
			row(false, teamsRun{Type: "TextRun", Text: about, FontType: "Monospace"})
		}
		for _, f := range n.facts {
			if size += 250 + size2(f); size > each {
				row(false, teamsRun{Type: "TextRun", Text: "…"})
				break
			}
			row(false, teamsRun{Type: "TextRun", Text: f.name + ": ", IsSubtle: true}, teamsRun{Type: "TextRun", Text: f.value})
		}
		if n.hint != "" {
			row(false, teamsRun{Type: "TextRun", Text: n.hint, IsSubtle: true})
		}
	}
	return mustEncode(teamsMessage{"message", []teamsAttachment{{"application/vnd.microsoft.card.adaptive", nil, card}}})
}

// size is about what text takes as JSON.
func size(s string) int {
	n := len(s)
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			n++
		}
	}
	return n
}

func size2(f fact) int { return size(f.name) + size(f.value) }

// mustEncode encodes what cannot fail to be encoded.
func mustEncode(v any) []byte {
	b, err := encode(v)
	if err != nil {
		panic(err)
	}
	return b
}
