package handlers

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// A Route is one of the router's, with the role that it needs.
type Route struct {
	Method, Pattern string
	Need            Role
	Declared        bool
}

// RoutesOf lists the routes of a handler that New made.
func RoutesOf(h http.Handler) []Route {
	var list []Route
	_ = chi.Walk(h.(Handler).routes, func(method, pattern string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		need, ok := needs[method+" "+pattern]
		list = append(list, Route{method, pattern, need, ok})
		return nil
	})
	slices.SortFunc(list, func(a, b Route) int {
		return cmp.Or(strings.Compare(a.Pattern, b.Pattern), strings.Compare(a.Method, b.Method))
	})
	return list
}

// Public is what a route needs that is open to all.
const Public = public

// Needs is the least role of every route, as "METHOD /pattern".
var Needs = needs
