// Release builds acitap for every platform, the same bytes from the same
// commit, with checksums and a bill of materials:
//
//	go run ./deploy/release [-out dist] [-platforms linux/amd64,…]
//
// The bill (CycloneDX 1.6) is read back out of the built programs, which name
// each module that went into them.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	everywhere = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64"
	maxSize    = 30 << 20 // what is promised of a program's size
)

func main() {
	out := flag.String("out", "dist", "directory for what is built")
	platforms := flag.String("platforms", everywhere, "to build for")
	flag.Parse()
	if err := run(*out, strings.Split(*platforms, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out string, platforms []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var names []string
	for _, p := range platforms {
		goos, goarch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("%q is no platform: write it as linux/amd64", p)
		}
		name := "acitap-" + goos + "-" + goarch
		file := name
		if goos == "windows" {
			file += ".exe"
		}
		if err := build(filepath.Join(out, file), goos, goarch); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		bill, err := billOf(filepath.Join(out, file))
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := os.WriteFile(filepath.Join(out, name+".cdx.json"), bill, 0o644); err != nil {
			return err
		}
		names = append(names, file, name+".cdx.json")
	}
	slices.Sort(names)
	var sums strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
		fmt.Printf("%9d  %s\n", len(b), name)
		if len(b) > maxSize {
			return fmt.Errorf("%s has %d bytes, more than %d", name, len(b), maxSize)
		}
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// build builds one program. Nothing of the machine and the moment goes into it:
// no paths, no C, no build id of the linker.
func build(file, goos, goarch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -buildid=", "-o", file, "./cmd/acitap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

type component struct {
	Type    string `json:"type"`
	BOMRef  string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

// billOf lists what a program is made of.
func billOf(file string) ([]byte, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	self := component{Type: "application", BOMRef: "acitap", Name: info.Main.Path, Version: info.Main.Version}
	parts := []component{{Type: "platform", BOMRef: "go", Name: "Go standard library", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		c := component{Type: "library", BOMRef: purl, Name: m.Path, Version: m.Version, PURL: purl}
		if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok { // SHA-256 of the module's files, as in go.sum
			raw, err := base64.StdEncoding.DecodeString(sum)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("the sum of %s", m.Path), err)
			}
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
		}
		parts = append(parts, c)
	}
	b, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata": map[string]any{"component": self}, "components": parts,
	}, "", "  ")
	return append(b, '\n'), err
}
