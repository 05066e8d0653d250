package handlers_test

import (
	"testing"
	"time"
)

// The session says how often token and subscriptions were renewed, and when
// the token is next.
func TestSessionRenewals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("fvTenant")
		r.settle()
		type view struct {
			Fabrics []struct {
				TokenRenewals, Refreshes              int
				TokenRenewsAt, TokenExpiresAt, EndsAt time.Time
			}
		}
		time.Sleep(8 * time.Minute)
		var v view
		r.do("GET /session").want(200).into(&v)
		f := v.Fabrics[0]
		if f.TokenRenewals != 1 || f.Refreshes < 8 {
			t.Errorf("after 8 minutes there were %d renewals of the token and %d refreshes, want 1 and many", f.TokenRenewals, f.Refreshes)
		}
		now := time.Now()
		if !f.TokenRenewsAt.After(now.Add(-time.Minute)) || !f.TokenRenewsAt.Before(f.TokenExpiresAt) || f.EndsAt.Sub(now) < 20*time.Hour {
			t.Errorf("at %s: got %+v", now, f)
		}
	})
}
