package main

import (
	"bytes"
	"math/bits"
	"strconv"
)

// A form is how a server puts events on a connection.
type form int

const (
	formSSE    form = iota // Server-Sent Events of acitap: ids are checked
	formNDJSON             // a line an event
	formNchan              // Server-Sent Events with ids of another kind
	formNATS               // the protocol of NATS
)

// Every event that the load program makes carries a stamp in its payload,
// ~<µs of the wall clock, 16 digits>.<number, 9 digits>: when it was handed to
// the socket, and which one it is. A reader looks for it with one IndexByte,
// so nothing needs to be parsed.
const stampLen = 1 + 16 + 1 + 9

func putStamp(b []byte, at, number int64) {
	b[0], b[17] = '~', '.'
	putDigits(b[1:17], at)
	putDigits(b[18:27], number)
}

func putDigits(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// stampOf finds the first stamp in a frame: attributes stand before changes, so
// it is the new value.
func stampOf(f []byte) (at, number int64, ok bool) {
	i := bytes.IndexByte(f, '~')
	if i < 0 || len(f) < i+stampLen || f[i+17] != '.' {
		return 0, 0, false
	}
	at, n := digits(f[i+1 : i+17])
	number, m := digits(f[i+18 : i+stampLen])
	return at, number, n == 16 && m == 9
}

// digits reads the number at the start of b.
func digits(b []byte) (n int64, length int) {
	for length < len(b) && b[length] >= '0' && b[length] <= '9' && length < 18 {
		n = n*10 + int64(b[length]-'0')
		length++
	}
	return n, length
}

// A verdict is what was wrong with what came. All are zero in a good run.
type verdict struct {
	Lost       int64 `json:"lost"`
	Repeated   int64 `json:"repeated"`
	Disordered int64 `json:"disordered"`
}

func (v *verdict) add(w verdict) {
	v.Lost += w.Lost
	v.Repeated += w.Repeated
	v.Disordered += w.Disordered
}

// A tracker checks that the numbers of one reader come one after the other.
type tracker struct {
	verdict
	next    int64 // the number that is due
	got     int64
	missing map[int64]bool // made when there is one
}

func (t *tracker) take(number int64) {
	t.got++
	switch {
	case number == t.next:
		t.next++
	case number > t.next:
		if t.missing == nil {
			t.missing = make(map[int64]bool)
		}
		for ; t.next < number; t.next++ {
			t.missing[t.next] = true
			t.Lost++
		}
		t.next++
	case t.missing[number]:
		delete(t.missing, number)
		t.Lost--
		t.Disordered++
	default:
		t.Repeated++
	}
}

// until says what is wrong once all numbers below end should have come.
func (t *tracker) until(end int64) verdict {
	v := t.verdict
	v.Lost += max(0, end-t.next)
	return v
}

// A reader is one client: what comes over its connection is cut into frames,
// which are counted and checked. It belongs to its poller.
type reader struct {
	tracker
	form   form
	times  *histogram // nil: this one's latencies are not taken
	id     int64      // of the last event
	gaps   int64      // entries of the timeline that are gaps
	others int64      // events that the load program did not make

	headDone bool
	status   int
	chunked  bool
	left     int // bytes of the chunk under way, with its line end
	carry    []byte
	head     []byte
}

// feed takes what was read from the connection at a moment.
func (r *reader) feed(b []byte, now int64) {
	if !r.headDone {
		if r.form == formNATS {
			r.natsHead(&b)
		} else {
			r.httpHead(&b)
		}
		if !r.headDone {
			return
		}
	}
	if r.form == formNATS {
		r.nats(b, now)
		return
	}
	if !r.chunked {
		r.text(b, now)
		return
	}
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			data := b[:n]
			r.left -= n
			b = b[n:]
			// The last two bytes of a chunk are its line end.
			if over := 2 - r.left; over > 0 {
				data = data[:max(0, len(data)-over)]
			}
			r.text(data, now)
			continue
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.head = append(r.head, b...)
			return
		}
		line := b[:i]
		if len(r.head) > 0 {
			r.head = append(r.head, line...)
			line = r.head
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r ")), 16, 31)
		if err != nil || size == 0 {
			r.chunked = false // the end of the body, or no chunk at all
			return
		}
		r.head = r.head[:0]
		r.left = int(size) + 2
		b = b[i+1:]
	}
}

// httpHead takes the head of the answer off b.
func (r *reader) httpHead(b *[]byte) {
	r.head = append(r.head, *b...)
	i := bytes.Index(r.head, []byte("\r\n\r\n"))
	if i < 0 {
		*b = nil
		return
	}
	head := r.head[:i]
	if len(head) > 12 {
		r.status, _ = strconv.Atoi(string(head[9:12]))
	}
	r.chunked = bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding: chunked"))
	*b = bytes.Clone(r.head[i+4:])
	r.head = nil
	r.headDone = true
}

// text cuts off whole frames and keeps the rest.
func (r *reader) text(b []byte, now int64) {
	sep := []byte("\n\n")
	if r.form == formNDJSON {
		sep = sep[:1]
	}
	if len(r.carry) > 0 && len(b) > 0 {
		i := bytes.Index(b, sep)
		end := i + len(sep)
		if len(sep) == 2 && b[0] == '\n' && r.carry[len(r.carry)-1] == '\n' {
			i, end = 0, 1
		}
		if i < 0 {
			r.carry = append(r.carry, b...)
			return
		}
		r.carry = append(r.carry, b[:end]...)
		r.frame(r.carry, now)
		r.carry = r.carry[:0]
		b = b[end:]
	}
	for {
		i := bytes.Index(b, sep)
		if i < 0 {
			break
		}
		r.frame(b[:i], now)
		b = b[i+len(sep):]
	}
	r.carry = append(r.carry, b...)
}

// frame takes one whole frame.
func (r *reader) frame(f []byte, now int64) {
	switch r.form {
	case formSSE:
		if bytes.HasPrefix(f, []byte("event: gap\n")) {
			r.gaps++
			return
		}
		id, n := digits(bytes.TrimPrefix(f, []byte("id: ")))
		if n == 0 || !bytes.HasPrefix(f[4+n:], []byte("\ndata: ")) {
			return // a comment, or the status of the session
		}
		r.grows(id)
	case formNDJSON:
		const start = `{"id":`
		if !bytes.HasPrefix(f, []byte(start)) {
			return
		}
		id, _ := digits(f[len(start):])
		r.grows(id)
		if bytes.Contains(f[:min(len(f), 120)], []byte(`"kind":"gap"`)) {
			r.gaps++
			return
		}
	}
	at, number, ok := stampOf(f)
	if !ok {
		if r.form == formSSE || r.form == formNDJSON {
			r.others++
		}
		return
	}
	r.take(number)
	if r.times != nil {
		r.times.add(now - at)
	}
}

// grows checks that ids do.
func (r *reader) grows(id int64) {
	switch {
	case id == r.id:
		r.Repeated++
	case id < r.id:
		r.Disordered++
	}
	r.id = max(r.id, id)
}

// natsHead waits for the answer to the PING that follows the subscription.
func (r *reader) natsHead(b *[]byte) {
	r.head = append(r.head, *b...)
	i := bytes.Index(r.head, []byte("PONG\r\n"))
	if i < 0 {
		*b = nil
		return
	}
	*b = bytes.Clone(r.head[i+6:])
	r.head = nil
	r.status = 200
	r.headDone = true
}

// nats cuts "MSG subject sid size\r\n<payload>\r\n".
func (r *reader) nats(b []byte, now int64) {
	if len(r.carry) > 0 {
		b = append(r.carry, b...)
		r.carry = nil
	}
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		if !bytes.HasPrefix(b, []byte("MSG ")) {
			b = b[i+1:]
			continue
		}
		line := bytes.TrimRight(b[:i], "\r")
		size, _ := digits(line[bytes.LastIndexByte(line, ' ')+1:])
		end := i + 1 + int(size) + 2
		if len(b) < end {
			break
		}
		r.frame(b[i+1:end-2], now)
		b = b[end:]
	}
	if len(b) > 0 {
		r.carry = bytes.Clone(b)
	}
}

// A histogram counts times in µs in buckets 3 % wide.
type histogram struct {
	counts [32 * 40]int64
	n, max int64
}

func (h *histogram) add(v int64) {
	v = max(v, 0)
	h.n++
	h.max = max(h.max, v)
	h.counts[min(bucket(v), len(h.counts)-1)]++
}

func bucket(v int64) int {
	if v < 64 {
		return int(v)
	}
	e := bits.Len64(uint64(v)) - 6
	return 32*e + int(v>>e)
}

// value is the middle of a bucket.
func value(bucket int) int64 {
	if bucket < 64 {
		return int64(bucket)
	}
	e := bucket/32 - 1
	return int64(bucket-32*e)<<e + int64(1)<<e/2
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile returns the time that a share q of all are below of, in ms.
func (h *histogram) quantile(q float64) float64 {
	want := int64(q * float64(h.n))
	var sum int64
	for i, n := range h.counts {
		if sum += n; sum > want {
			return float64(min(value(i), h.max)) / 1000
		}
	}
	return float64(h.max) / 1000
}
