package handlers

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/acitap/acitap/apic"
	"github.com/acitap/acitap/fanout"
	"github.com/acitap/acitap/webhook"
)

// A Hub is what the handlers need of [apic.Hub].
type Hub interface {
	Subscribe(ctx context.Context, q apic.Query, onlyNew bool) (s apic.Subscription, created bool, err error)
	Unsubscribe(ctx context.Context, ids ...string) error
	Subscriptions(ctx context.Context) []apic.Subscription

	Next(ctx context.Context, classes []apic.Class, o apic.NextOptions) (apic.Taken, error)
	PendingEvents(ctx context.Context, classes []apic.Class, consumer string) (int64, error)
	Consumers(ctx context.Context, classes []apic.Class) ([]apic.Consumer, error)
	DeleteConsumer(ctx context.Context, classes []apic.Class, name string) error

	Timeline

	Objects(n *apic.Narrow, behind apic.DN, limit int) (objects []apic.Object, asOf apic.ID)
	Object(fabric string, dn apic.DN) (apic.Object, bool)
	ObjectsAt(ctx context.Context, n *apic.Narrow, at apic.ID) ([]apic.Object, error)

	Fabrics() []string
	Sessions() []apic.Session
	SessionChanged() <-chan struct{}
	Ready() error
}

// A Timeline is the part of a [Hub] that readers of events stand on.
type Timeline interface {
	Bounds() apic.Bounds
	IDAt(ctx context.Context, t time.Time) (apic.ID, error)
	fanout.Timeline
	Read(ctx context.Context, r apic.Range) iter.Seq2[*apic.Entry, error]
	Entry(ctx context.Context, id apic.ID) (*apic.Entry, error)
}

// ErrStopping is the cause with which a server's BaseContext is cancelled when
// the service stops.
var ErrStopping = errors.New("the service is stopping")

// Options of [New]. Zero values have the meaning given.
type Options struct {
	Hub     Hub          // required
	Log     *slog.Logger // nil: silence
	Version string       // of acitap, shown by /livez

	Webhooks *webhook.Service // nil: there are no webhooks

	MaxStreams  int // streams at a time, of all callers; 0 is 20,000
	MaxInFlight int // other requests at a time, for each caller; 0 is 60

	// Tokens say who may call. Without them whoever can reach the service may do
	// all, if the Host header names loopback or the host of Listen, an address.
	Tokens      *Tokens
	Listen      string
	CORSOrigins []string // as https://noc.example.com; their pages may read and write

	Registerer prometheus.Registerer // nil: no metrics
	Gatherer   prometheus.Gatherer   // of /metrics; nil: nothing is there
}

type server struct {
	hub     Hub
	log     *slog.Logger
	version string
	limits  *limits
	origins *http.CrossOriginProtection // lets those listed for CORS in
	own     *http.CrossOriginProtection // acitap's own origin only
	cross   []string                    // origins listed for CORS
	tokens  *Tokens                     // nil: whoever comes
	signed  *pageSessions
	listen  string // host that the service listens on
	metrics *metrics
	scrape  handler
	routes  *chi.Mux
	ids     requestIDs
	current status
	fanout  *fanout.Fanout
}

// A Handler answers all routes.
type Handler struct{ *server }

// Run carries the streams of HTTP/1.1 connections that the server's ConnContext
// has seen, without a goroutine for each. ctx is the server's BaseContext. When
// it ends, Run ends its streams, spread over two seconds if the cause is
// [ErrStopping], and returns when they are closed: the server's Shutdown does
// not know them. Without Run, the requests' own goroutines carry all streams.
func (h Handler) Run(ctx context.Context) { h.fanout.Run(ctx) }

// ConnContext is for the field of that name of the server.
func (h Handler) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return h.fanout.ConnContext(ctx, c)
}

// New returns the handler of all routes. It starts nothing.
func New(o Options) Handler {
	s := &server{
		hub:     o.Hub,
		log:     o.Log,
		version: o.Version,
		limits:  newLimits(o.MaxInFlight, o.MaxStreams),
		origins: http.NewCrossOriginProtection(),
		own:     http.NewCrossOriginProtection(),
		cross:   o.CORSOrigins,
		tokens:  o.Tokens,
		signed:  newPageSessions(),
		listen:  hostOf(o.Listen),
		scrape:  scrape(o.Gatherer),
		ids:     newRequestIDs(),
	}
	for _, origin := range o.CORSOrigins {
		if err := s.origins.AddTrustedOrigin(origin); err != nil {
			panic(err) // settings are checked before: see [CheckOrigin]
		}
	}
	s.metrics = newMetrics(o.Registerer, s)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.fanout = fanout.New(fanout.Options{
		Timeline: s.hub, Status: s.status, Delivered: s.metrics.delivered.WithLabelValues(viaStream), Dropped: s.metrics.dropped, Spread: spreadOf,
	})
	s.routes = s.router(o.Webhooks)
	return Handler{s}
}

func (s *server) router(hooks *webhook.Service) *chi.Mux {
	r := chi.NewRouter()
	on := func(methods, pattern string, h handler) {
		for m := range strings.FieldsSeq(methods) {
			r.Method(m, pattern, s.route(m, pattern, h))
		}
	}

	on("GET POST", "/subscriptions", s.subscriptions)
	on("GET POST DELETE", "/subscriptions/{class}", s.classSubscriptions)
	on("GET DELETE", "/subscriptions/{class}/{id}", s.subscription)

	on("GET POST", "/events/{class}/next", s.next)
	on("GET", "/events/{class}/pending", s.pending)
	on("GET", "/events/{class}/consumers", s.consumers)
	on("DELETE", "/events/{class}/consumers/{name}", s.deleteConsumer)

	on("GET", "/events", s.history)
	on("GET", "/events/{class}", s.history)
	on("GET", "/events/{id:[0-9]+}", s.event)
	on("GET", "/wait", s.wait)

	on("GET", "/events/stream", s.stream)
	on("GET", "/events/{class}/stream", s.stream)

	on("GET", "/objects/{class}", s.objects)
	on("GET", "/objects/{class}/*", s.object)

	on("GET", "/session", s.session)
	on("GET", "/metrics", s.scrape)
	on("GET", "/livez", s.livez)
	on("GET", "/readyz", s.readyz)
	on("GET", "/healthz", s.readyz)

	documentRoutes(on)
	webhookRoutes(on, hooks)
	s.pageRoutes(on)
	on("GET", "/signin", s.signinForm)
	on("POST", "/signin", s.signin)
	on("POST", "/signout", s.signout)

	r.NotFound(s.handle(Reader, func(*response, *http.Request) error {
		return refuse(http.StatusNotFound, "there is nothing at this path; see what the service offers at /")
	}))
	r.MethodNotAllowed(s.handle(Reader, s.otherMethod))
	return r
}

// otherMethod answers a method that a path does not have, and OPTIONS, which
// none has of its own.
func (s *server) otherMethod(w *response, r *http.Request) error {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		pattern := s.routes.Find(chi.NewRouteContext(), m, path)
		if pattern == "" {
			continue
		}
		allowed = append(allowed, m)
		if m == http.MethodGet && !takes(pattern) {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) == 0 { // a method that chi does not know, on a path that nobody has
		return refuse(http.StatusNotFound, "there is nothing at this path; see what the service offers at /")
	}
	allowed = append(allowed, http.MethodOptions)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return refuse(http.StatusMethodNotAllowed, "this path has no %.20s; it has %s", r.Method, strings.Join(allowed, ", "))
}

// takes reports whether a GET of the route, or of the path, changes state.
func takes(pattern string) bool {
	return strings.HasPrefix(pattern, "/events/") && strings.HasSuffix(pattern, "/next")
}

// A handler answers a request, or returns why not; nothing has been written
// then, or the answer cannot be finished.
type handler func(w *response, r *http.Request) error

// handle makes a handler of net/http, for those who have the role.
func (s *server) handle(need Role, h handler) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		w := rw.(*response) //nolint:errcheck,forcetypeassert // serve made it, and nothing stands in between
		err := s.permit(w, need)
		if err == nil {
			err = h(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}

// route is handle for a route, with what [needs] says of it.
func (s *server) route(method, pattern string, h handler) http.HandlerFunc {
	need := needs[method+" "+pattern]
	next := s.handle(need, h)
	return func(rw http.ResponseWriter, r *http.Request) {
		w := rw.(*response) //nolint:errcheck,forcetypeassert // see handle
		w.route = pattern
		if pattern == "/" && w.who.role == nobody && r.Header.Get("Authorization") == "" {
			_ = redirect(w, signinFor(r)) // never fails
			return
		}
		next(w, r)
		if need == Operator && w.status < 300 {
			s.log.InfoContext(r.Context(), "changed by a caller", "request", w.id, "method", method, "path", shownPath(r.URL), "status", w.status, "caller", w.who.of(r))
		}
	}
}

// classes reads {class} of a path: the APIC classes that it names.
func classes(r *http.Request) ([]apic.Class, error) {
	name, err := pathValue(r, "class")
	if err != nil {
		return nil, err
	}
	list, err := apic.ResolveClass(name)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	return list, nil
}

// concrete returns the classes that events and objects of the classes have.
func concrete(list []apic.Class) []apic.Class {
	var out []apic.Class
	for _, c := range list {
		for _, k := range c.Concrete() {
			if !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	return out
}

func joined(list []apic.Class) string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = string(c)
	}
	return strings.Join(names, ",")
}
