package static_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/acitap/acitap/static"
)

func get(t *testing.T, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	h := static.Handler()
	for name, mediaType := range map[string]string{
		"app.js": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
		"app.webmanifest": "application/manifest+json", "vendor/uplot-1.6.32/uPlot.esm.js": "text/javascript; charset=utf-8",
		"vendor/uplot-1.6.32/LICENSE": "text/plain; charset=utf-8",
	} {
		want, err := fs.ReadFile(static.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		r := get(t, h, "/static/"+name)
		got, _ := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK || !bytes.Equal(got, want) || r.Header.Get("Content-Type") != mediaType {
			t.Errorf("%s: got status %d, %d bytes of %s; want %d bytes of %s", name, r.StatusCode, len(got), r.Header.Get("Content-Type"), len(want), mediaType)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a browser may guess its type", name)
		}
		etag := r.Header.Get("ETag")
		if again := get(t, h, "/static/"+name, "If-None-Match", etag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: asked again with its ETag %s: got status %d, want 304", name, etag, again.StatusCode)
		}
		packed := get(t, h, "/static/"+name, "Accept-Encoding", "br, gzip;q=0.8")
		if packed.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(packed.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(z); !bytes.Equal(got, want) {
				t.Errorf("%s: packed it is another", name)
			}
			if packed.Header.Get("ETag") == etag {
				t.Errorf("%s: packed it has the same ETag", name)
			}
		}
		if none := get(t, h, "/static/"+name, "Accept-Encoding", "gzip;q=0"); none.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: packed for one who does not take it", name)
		}
		immutable := strings.Contains(r.Header.Get("Cache-Control"), "immutable")
		if immutable != strings.HasPrefix(name, "vendor/") {
			t.Errorf("%s: Cache-Control %s", name, r.Header.Get("Cache-Control"))
		}
	}
	for _, target := range []string{"/static/", "/static/no.js", "/static/vendor", "/static/../embed.go", "/static/embed.go"} {
		if r := get(t, h, target); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got status %d, want 404", target, r.StatusCode)
		}
	}
}

// Vendored files are what their READMEs say, and come with a licence.
func TestVendored(t *testing.T) {
	line := regexp.MustCompile("\\| `([^`]+)` \\| `([0-9a-f]{64})` \\|")
	dirs, err := fs.ReadDir(static.Files(), "vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		dir := path.Join("vendor", d.Name())
		readme, err := fs.ReadFile(static.Files(), path.Join(dir, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{"README.md": ""}
		for _, m := range line.FindAllStringSubmatch(string(readme), -1) {
			said[m[1]] = m[2]
		}
		if said["LICENSE"] == "" {
			t.Errorf("%s has no licence", dir)
		}
		files, err := fs.ReadDir(static.Files(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := fs.ReadFile(static.Files(), path.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(b)
			if want, ok := said[f.Name()]; !ok || want != "" && want != hex.EncodeToString(sum[:]) {
				t.Errorf("%s/%s is not what its README says", dir, f.Name())
			}
		}
	}
}

// The scripts that need no browser pass their own tests; the others are run by
// the tests of package web.
func TestScripts(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("the scripts' tests need Node.js 20 or newer: apt-get install nodejs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, node, "--test", ".").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
