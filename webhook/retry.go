package webhook

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	backoffMin = 2 * time.Second  // the first pause is shorter than this
	backoffMax = 30 * time.Minute // and none is longer, unless the receiver asks for it
	// giveUpAfter is how long a message is tried by default.
	giveUpAfter = 24 * time.Hour
	giveUpMin   = time.Minute
	giveUpMax   = 7 * 24 * time.Hour
	// retryAfterMax bounds what a receiver may ask for.
	retryAfterMax = 24 * time.Hour
	paceMin       = 500 * time.Millisecond // between requests after the first 429
	paceMax       = time.Minute
)

// An outcome is how one attempt ended.
type outcome struct {
	status     int           // 0 when no answer came
	err        error         // why there is no answer, or no request
	retryAfter time.Duration // asked for by the answer
	answer     []byte
	duration   time.Duration
}

// why says in a sentence why the attempt failed, "" when it did not.
func (o *outcome) why() string {
	switch {
	case o.err != nil:
		return o.err.Error()
	case o.status >= 200 && o.status < 300:
		return ""
	case o.status >= 300 && o.status < 400:
		return fmt.Sprintf("answered %s; redirects are not followed: give the URL that it leads to", words(o.status))
	}
	return "answered " + words(o.status)
}

func words(status int) string {
	if t := http.StatusText(status); t != "" {
		return strconv.Itoa(status) + " " + t
	}
	return strconv.Itoa(status)
}

// A verdict is what follows from an outcome.
type verdict int

const (
	done    verdict = iota // the receiver has it: go on with the next
	again                  // the same again, after a pause
	disable                // the receiver wants nothing any more
)

// judge decides what follows from an outcome, and nothing else does. A message
// that no receiver takes is tried until giveUp after its first failure.
func judge(o *outcome, failingSince, now time.Time, giveUp time.Duration) (v verdict, why string) {
	why = o.why()
	switch {
	case why == "":
		return done, ""
	case o.status == http.StatusGone:
		return disable, "the receiver " + why + ", which means that it wants nothing any more"
	case !failingSince.IsZero() && now.Sub(failingSince) >= giveUp:
		return disable, fmt.Sprintf("given up, as nothing was taken for %s; the last attempt: %s", short(giveUp), why)
	}
	return again, why
}

// pause returns how long to wait before the next attempt, when n have failed:
// a random part of what doubles each time (full jitter), and not less than the
// receiver asks for.
func pause(n int, retryAfter time.Duration) time.Duration {
	most := backoffMax
	if n < 20 {
		most = min(backoffMin<<max(n-1, 0), backoffMax)
	}
	return max(rand.N(most)+time.Millisecond, retryAfter)
}

// pace returns the time to leave between requests, after one that had this
// outcome: doubled by a 429, slowly given back by successes.
func pace(p time.Duration, status int) time.Duration {
	switch {
	case status == http.StatusTooManyRequests:
		return min(max(2*p, paceMin), paceMax)
	case status < 200 || status > 299:
		return p
	case p < 10*time.Millisecond:
		return 0
	}
	return p - p/16
}

// parseRetryAfter reads seconds or a date.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n > int64(retryAfterMax/time.Second) {
			return retryAfterMax
		}
		return time.Duration(max(n, 0)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(t.Sub(now), 0), retryAfterMax)
	}
	return 0
}

// short writes 24h for 24h0m0s.
func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}
