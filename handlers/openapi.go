package handlers

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"time"
)

// The contract for machines and for people. The two documents are written by
// hand; tests hold them against the routes, against real answers, and against
// each other. They are JSON and not YAML, so that what is served is what was
// written.
var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed asyncapi.json
	asyncAPI []byte
	//go:embed docs.html
	docsPage []byte
)

// documentRoutes registers what needs no token and is the same for everybody.
func documentRoutes(on func(methods, pattern string, h handler)) {
	on("GET", "/openapi.json", document("application/json", openAPI))
	on("GET", "/asyncapi.json", document("application/json", asyncAPI))
	on("GET", "/docs", document("text/html; charset=utf-8", docsPage))
}

// document answers with a file of the program. A client that has it asks with
// its ETag whether it is still the same.
func document(mediaType string, body []byte) handler {
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w *response, r *http.Request) error {
		if err := noParams(r); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return nil
	}
}
