package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/selector"
)

const (
	requestTimeout = 15 * time.Second // of a whole attempt: dial, send, and the answer's head
	drainTimeout   = time.Second      // for the rest of the answer, of which nothing depends
	answerKept     = 1 << 10
	answerRead     = 64 << 10 // so that the connection can be used again
)

// A definition is an endpoint, ready for use. It never changes.
type definition struct {
	*Endpoint
	url      *url.URL
	header   http.Header // of every request
	narrow   apic.Narrow
	selects  string    // the selector's text: the same for all that select the same
	template *renderer // where Format is FormatTemplate
}

// compile prepares an endpoint and tries its template. The error is a
// *selector.Error.
func (s *Service) compile(e *Endpoint) (*definition, error) {
	u, err := parseURL(e.URL)
	if err != nil {
		return nil, &selector.Error{Param: "url", Detail: err.Error()}
	}
	if err := s.guard.checkHost(u.Hostname()); err != nil {
		return nil, &selector.Error{Param: "url", Detail: "cannot be sent to: " + err.Error()}
	}
	d := &definition{Endpoint: e, url: u, header: make(http.Header), narrow: e.Selector.Narrow(), selects: e.Selector.String()}
	d.header.Set("User-Agent", "acitap")
	for name, value := range e.Headers {
		d.header.Set(name, value)
	}
	d.header.Set("Content-Type", e.contentType())
	d.header["Idempotency-Key"] = []string{} // not sent; lets the transport send again when an idle connection turns out closed
	if e.Format == FormatTemplate {
		if d.template, err = compileTemplate(e.Template, e.contentType()); err == nil {
			err = d.try()
		}
		if err != nil {
			return nil, &selector.Error{Param: "template", Detail: err.Error()}
		}
	}
	return d, nil
}

// send makes one request and reads what came back. The context's end is the
// service's.
func (s *Service) send(ctx context.Context, d *definition, message string, b []byte, kind Kind) outcome {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errTimeout)
	defer cancel()
	begun := time.Now()
	header := make(http.Header, len(d.header)+6)
	maps.Copy(header, d.header)
	sign(header, message, begun, b, d.secret, d.old)
	if kind == Testing {
		header["Acitap-Test"] = []string{"true"}
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: d.url, Host: d.url.Host, Header: header, ContentLength: int64(len(b)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body:    io.NopCloser(bytes.NewReader(b)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
	}).WithContext(ctx)
	transport, err := s.way(d.url)
	if err != nil {
		return outcome{err: err, duration: time.Since(begun)}
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		err = s.explain(ctx, err)
		if transport == s.proxied {
			err = fmt.Errorf("through the proxy: %w", err)
		}
		return outcome{err: err, duration: time.Since(begun)}
	}
	o := outcome{status: res.StatusCode}
	if o.status < 200 || o.status > 299 {
		o.retryAfter = parseRetryAfter(res.Header.Get("Retry-After"), time.Now())
	}
	if res.StatusCode != http.StatusSwitchingProtocols && res.Body != http.NoBody {
		// The head has said it all: an answer that never ends, or breaks off, is
		// as good as another.
		slow := time.AfterFunc(drainTimeout, cancel)
		kept := make([]byte, answerKept)
		n, err := io.ReadFull(res.Body, kept)
		o.answer = bytes.Clone(kept[:n])
		if err == nil {
			_, _ = io.CopyN(io.Discard, res.Body, answerRead-answerKept)
		}
		slow.Stop()
	}
	res.Body.Close()
	o.duration = time.Since(begun)
	return o
}

var errTimeout = errors.New("no answer within 15s")

// explain says of an error of the transport what a reader of the log can use.
// The transport's own words do not hold the URL.
func (s *Service) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		s.metrics.refused.Inc()
		return refused
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the receiver closed the connection before it answered")
	}
	return err
}

// newTransport returns what all endpoints send by. There is no HTTP/2: a
// receiver that stalls one stream would stall those of others beside it.
func newTransport(o *Options, dial dialFunc) *http.Transport {
	t := &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        o.TLS,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           2000,
		MaxIdleConnsPerHost:    1000, // endpoints of one host
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return t
}

func logName(id string, e *Endpoint) slog.Attr {
	return slog.Group("webhook", "id", id, "name", e.Name, "host", e.host())
}
