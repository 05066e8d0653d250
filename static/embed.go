// Package static holds what the browser page loads: scripts, styles, icons and
// two vendored libraries, embedded into the program. Nothing is loaded from
// anywhere else, since management networks have no way out.
//
// There is no build step: the browser loads the ES modules as they stand here.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed *.js *.css *.svg *.webmanifest vendor
var files embed.FS

// Files returns all files, named as in the URL behind /static/.
func Files() fs.FS { return files }

// types are the media types by extension. They are written out, because what
// the system's tables say differs from machine to machine.
var types = map[string]string{
	".js":          "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
	".md":          "text/plain; charset=utf-8",
	"":             "text/plain; charset=utf-8", // LICENSE
}

type file struct {
	body, gzipped []byte // gzipped is nil where it saves nothing
	etag          string
	mediaType     string
	cache         string
}

// Handler serves the files below /static/. An ETag is a hash of the content,
// and a browser asks each time whether it still holds, so that a page never
// runs with scripts of another version; vendored files have their version in
// the path and are not asked for again.
func Handler() http.Handler {
	served := make(map[string]*file)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		served["/static/"+name] = load(name, body)
		return nil
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := served[r.URL.Path]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", f.mediaType)
		h.Set("Cache-Control", f.cache)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Vary", "Accept-Encoding")
		body, etag := f.body, `"`+f.etag+`"`
		if f.gzipped != nil && r.Header.Get("Range") == "" && acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, etag = f.gzipped, `"`+f.etag+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

func load(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{
		body:      body,
		etag:      base64.RawURLEncoding.EncodeToString(sum[:12]),
		mediaType: types[path.Ext(name)],
		cache:     "no-cache",
	}
	if f.mediaType == "" {
		f.mediaType = "application/octet-stream"
	}
	if strings.HasPrefix(name, "vendor/") {
		f.cache = "public, max-age=31536000, immutable"
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = z.Write(body)                                  // into memory
	_ = z.Close()
	if b.Len() < len(body)*9/10 {
		f.gzipped = b.Bytes()
	}
	return f
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if c := strings.TrimSpace(coding); !strings.EqualFold(c, "gzip") && c != "*" {
			continue
		}
		q, ok := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !ok {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
