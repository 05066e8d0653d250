package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Role is what a caller may do.
type Role string

// The roles. An operator may do all that a reader may.
const (
	Reader   Role = "reader"   // look, follow, take from queues of its own
	Operator Role = "operator" // also take from the class queues, and change subscriptions and webhooks
)

// ParseRole reads the name of a role.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case Reader, Operator:
		return r, nil
	}
	return "", fmt.Errorf("%.40q is no role: there are reader and operator", s)
}

var (
	tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	tokenText = regexp.MustCompile(`acitap_[a-z2-7]{26}`)
)

// NewToken makes a token of 130 random bits, and the line of a tokens file that
// lets it in. The token begins so that scanners for leaked secrets know it.
func NewToken(name string, role Role) (token, line string, err error) {
	if !tokenName.MatchString(name) {
		return "", "", fmt.Errorf("%.80q is no name of a token: 1 to 64 letters, digits, dots, - and _", name)
	}
	token = "acitap_" + strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(token))
	return token, fmt.Sprintf("%s %s %x", name, role, sum), nil
}

// A grant is one token that is let in. Its text is not known here.
type grant struct {
	name string
	role Role
	sum  [sha256.Size]byte

	ctx context.Context // ends when the token counts no more
	end context.CancelCauseFunc
}

// errRevoked is a way of hanging up, not of stopping the service.
var errRevoked = fmt.Errorf("the token or the session of the page counts no more: %w", context.Canceled)

// Tokens are those of a file. All methods may be called from any goroutine.
type Tokens struct {
	path string
	log  *slog.Logger
	good prometheus.Gauge

	mu     sync.Mutex // guards all below
	grants []*grant
	read   []byte // the content at the last look
	wrong  string // what was wrong with it, as it was logged
}

const (
	tokensEvery = 3 * time.Second // the contract says within ten
	maxTokens   = 1 << 20         // bytes of the file
)

// OpenTokens reads a tokens file. Run then follows its changes.
func OpenTokens(path string, log *slog.Logger, registerer prometheus.Registerer) (*Tokens, error) {
	t := &Tokens{path: path, log: log}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	b, err := readTokens(path)
	if err != nil {
		return nil, err
	}
	if t.grants, err = parseTokens(b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.read = b
	t.good = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "acitap", Name: "tokens_last_reload_successful",
		Help: "1 when the tokens in use are those of the file, 0 when the file cannot be used and older ones count."})
	t.good.Set(1)
	if registerer != nil {
		registerer.MustRegister(t.good, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "acitap", Name: "tokens",
			Help: "Tokens that are let in."}, func() float64 { return float64(t.count()) }))
	}
	return t, nil
}

func (t *Tokens) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.grants)
}

// Run looks after changes of the file until ctx ends. It compares what the
// file holds: times and inodes say little where a file is a link that somebody
// turns, as Kubernetes does with secrets.
func (t *Tokens) Run(ctx context.Context) error {
	tick := time.NewTicker(tokensEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			t.reload()
		}
	}
}

func (t *Tokens) reload() {
	b, err := readTokens(t.path)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && bytes.Equal(b, t.read) {
		if t.wrong == "" {
			return
		}
	}
	var grants []*grant
	if err == nil {
		grants, err = parseTokens(b)
	}
	if err != nil {
		t.good.Set(0)
		if t.wrong != err.Error() {
			t.wrong = err.Error()
			t.log.Error("the tokens file cannot be used; the tokens of before still count, removed ones too", "file", t.path, "err", err)
		}
		return
	}
	// Who stands in the new file as in the old keeps what it has open.
	for _, old := range t.grants {
		kept := false
		for i, g := range grants {
			if g.name == old.name && g.role == old.role && g.sum == old.sum {
				grants[i], kept = old, true
				break
			}
		}
		if !kept {
			old.end(errRevoked)
		}
	}
	t.log.Info("the tokens file was read again", "file", t.path, "tokens", len(grants))
	t.good.Set(1)
	t.grants, t.read, t.wrong = grants, b, ""
}

func readTokens(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTokens+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxTokens {
		return nil, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return b, nil
}

// parseTokens reads lines of "name role sha256". Mistakes name the line and not
// what it holds, which may be a token.
func parseTokens(b []byte) ([]*grant, error) {
	var grants []*grant
	var mistakes []error
	seen := make(map[[sha256.Size]byte]int)
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		mistake := func(format string, args ...any) {
			mistakes = append(mistakes, fmt.Errorf("line %d: "+format, append([]any{n}, args...)...))
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			mistake("must be: name role sha256, as acitap token prints it")
			continue
		}
		role, err := ParseRole(fields[1])
		sum, badSum := hex.DecodeString(fields[2])
		switch {
		case !tokenName.MatchString(fields[0]):
			mistake("the name must be 1 to 64 letters, digits, dots, - and _")
		case err != nil:
			mistake("the role must be reader or operator")
		case badSum != nil || len(sum) != sha256.Size || fields[2] != strings.ToLower(fields[2]):
			mistake("the sum must be SHA-256 of the token's text, in 64 lower-case hex digits; acitap token prints it")
		default:
			g := &grant{name: fields[0], role: role, sum: [sha256.Size]byte(sum)}
			if first := seen[g.sum]; first != 0 {
				mistake("holds the same token as line %d", first)
				continue
			}
			seen[g.sum] = n
			g.ctx, g.end = context.WithCancelCause(context.Background())
			grants = append(grants, g)
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	if len(grants) == 0 { // perhaps somebody is just writing it
		return nil, errors.New("holds no token: acitap token NAME --role operator makes one and prints the line for the file")
	}
	return grants, nil
}

// find returns the grant of a token, nil when it is not let in. It compares
// with every sum to the end, so that its time says nothing about any.
func (t *Tokens) find(token string) *grant {
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	grants := t.grants // replaced, never changed
	t.mu.Unlock()
	var found *grant
	for _, g := range grants {
		if subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1 {
			found = g
		}
	}
	return found
}
