package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Secret signs what is sent. It prints as "redacted"; [Secret.Reveal] is for
// the one answer that shows it.
type Secret struct {
	text string // whsec_…
	key  []byte
}

const secretPrefix = "whsec_"

// NewSecret returns a random secret of 32 bytes.
func NewSecret() Secret {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return Secret{secretPrefix + base64.StdEncoding.EncodeToString(key), key}
}

// ParseSecret reads a secret as Standard Webhooks write it.
func ParseSecret(text string) (Secret, error) {
	const form = "a secret is whsec_ and the base64 of 24 to 64 random bytes; leave it out and one is made"
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return Secret{}, errors.New("does not begin with whsec_: " + form)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Secret{}, errors.New("is no base64 behind whsec_: " + form)
	}
	if len(key) < 24 || len(key) > 64 {
		return Secret{}, errors.New("has " + strconv.Itoa(len(key)) + " bytes: " + form)
	}
	return Secret{text, key}, nil
}

// Reveal returns the secret's text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// String keeps the secret out of whatever formats it.
func (Secret) String() string { return "redacted" }

// GoString keeps it out of %#v.
func (Secret) GoString() string { return "redacted" }

// LogValue keeps it out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalJSON keeps it out of JSON.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"redacted"`), nil }

// An oldSecret still signs until it ends.
type oldSecret struct {
	Secret
	until time.Time
}

const (
	rotation  = 24 * time.Hour // both secrets sign for so long
	oldAtMost = 4              // secrets that were replaced within it
)

// The headers of a delivery, in canonical form.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	headerHub       = "X-Hub-Signature-256"
)

// sign sets the signature's headers. Each secret signs in the way of Standard
// Webhooks; X-Hub-Signature-256 has room for the newest only.
func sign(h http.Header, id string, now time.Time, body []byte, secret Secret, old []oldSecret) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	b := appendSignature(make([]byte, 0, 64), secret, id, stamp, body)
	for _, o := range old {
		if now.Before(o.until) {
			b = appendSignature(append(b, ' '), o.Secret, id, stamp, body)
		}
	}
	h[headerID] = []string{id}
	h[headerTimestamp] = []string{stamp}
	h[headerSignature] = []string{string(b)}
	m := hmac.New(sha256.New, []byte(secret.text))
	m.Write(body)
	h[headerHub] = []string{"sha256=" + hex.EncodeToString(sum(m))}
}

func appendSignature(b []byte, s Secret, id, stamp string, body []byte) []byte {
	m := hmac.New(sha256.New, s.key)
	var head [128]byte
	h := append(head[:0], id...)
	h = append(h, '.')
	h = append(h, stamp...)
	m.Write(append(h, '.'))
	m.Write(body)
	b = append(b, "v1,"...)
	return base64.StdEncoding.AppendEncode(b, sum(m))
}

func sum(m hash.Hash) []byte { return m.Sum(make([]byte, 0, sha256.Size)) }
