package webhook

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/acitap/acitap/apic"
)

// An item is one thing to tell: an entry of the timeline, or a hole in it that
// is not on the timeline itself, as retention was faster than the receiver.
type item struct {
	*apic.Entry      // nil for a hole
	hole        hole // where Entry is nil
}

// A hole says that a place is not in the log any more, as streams do.
type hole struct {
	asked, oldest apic.ID
	reason        string
	time          time.Time
}

func (h *hole) id() string { return fmt.Sprintf("gap-%d-%d", h.asked, h.oldest) }

func (h *hole) json() []byte {
	b := append([]byte(nil), `{"time":"`...)
	b = h.time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	return fmt.Appendf(b, `","kind":"gap","reason":"%s","asked":%d,"oldest":%d,"healed":false}`, h.reason, h.asked, h.oldest)
}

func (i *item) id() string {
	if i.Entry == nil {
		return i.hole.id()
	}
	return strconv.FormatInt(int64(i.ID), 10)
}

func (i *item) json(include bool) []byte {
	switch {
	case i.Entry == nil:
		return i.hole.json()
	case include:
		return i.WithObject()
	}
	return i.JSON
}

func (i *item) when() time.Time {
	if i.Entry == nil {
		return i.hole.time
	}
	return i.Time()
}

// messageID is the webhook-id: the event's own id, of a batch the first and
// the last.
func messageID(items []item, batched bool) string {
	if !batched {
		return items[0].id()
	}
	return items[0].id() + "-" + items[len(items)-1].id()
}

// maxBatchBytes ends a batch early. One event alone may be larger.
const maxBatchBytes = 1 << 20

// A body is what is sent.
type body struct {
	text []byte
	skip bool // a template made nothing of it: nothing is sent
}

// render makes the body of some items: of one, unless the endpoint has
// batches. With veil, values of headers in a template are masked. An error is
// the template's.
func (d *definition) render(items []item, veil bool) (body, error) {
	batched := d.Batch > 1
	switch d.Format {
	case FormatCloudEvents:
		return body{text: d.cloudEvents(items, batched)}, nil
	case FormatSlack:
		return body{text: slack(items)}, nil
	case FormatTeams:
		return body{text: teams(items)}, nil
	case FormatTemplate:
		return d.template.render(d, items, veil)
	}
	if !batched {
		return body{text: items[0].json(d.Include)}, nil
	}
	return body{text: eventList(items, d.Include)}, nil
}

func eventList(items []item, include bool) []byte {
	size := len(`{"events":[]}`)
	parts := make([][]byte, len(items))
	for i := range items {
		parts[i] = items[i].json(include)
		size += len(parts[i]) + 1
	}
	b := append(make([]byte, 0, size), `{"events":[`...)
	for i, p := range parts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p...)
	}
	return append(b, "]}"...)
}

func (d *definition) cloudEvents(items []item, batched bool) []byte {
	size := 2
	for i := range items {
		size += 512
		if items[i].Entry != nil {
			size += len(items[i].JSON)
		}
	}
	b := make([]byte, 0, size)
	if batched {
		b = append(b, '[')
	}
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = d.appendCloudEvent(b, &items[i])
	}
	if batched {
		b = append(b, ']')
	}
	return b
}

func (d *definition) appendCloudEvent(b []byte, i *item) []byte {
	kind, fabric, subject := "cisco.aci.gap", "", ""
	switch {
	case i.Entry == nil:
	case i.Gap != nil:
		fabric = i.Gap.Fabric
	default:
		kind, fabric, subject = "cisco.aci."+string(i.Event.Class)+"."+string(i.Event.Status), i.Event.Fabric, string(i.Event.DN)
	}
	source := "/acitap"
	if fabric != "" {
		source = "/fabrics/" + url.PathEscape(fabric)
	}
	b = append(b, `{"specversion":"1.0","id":"`...)
	b = append(b, i.id()...)
	b = append(b, `","source":`...)
	b = appendText(b, source)
	b = append(b, `,"type":`...)
	b = appendText(b, kind)
	if subject != "" {
		b = append(b, `,"subject":`...)
		b = appendText(b, subject)
	}
	b = append(b, `,"time":"`...)
	b = i.when().UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","datacontenttype":"application/json","data":`...)
	b = append(b, i.json(d.Include)...)
	return append(b, '}')
}

// appendText appends text as JSON.
func appendText(b []byte, s string) []byte {
	t, err := encode(s)
	if err != nil { // text can always be encoded
		return append(b, `""`...)
	}
	return append(b, t...)
}
