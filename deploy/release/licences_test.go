package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// accepted are words by which a licence that may be linked into acitap is
// recognised.
var accepted = []struct{ name, words string }{
	{"Apache-2.0", "Apache License"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD", "Redistribution and use in source and binary forms"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"},
	{"public domain", "This is free and unencumbered software released into the public domain"},
}

// Every module that goes into the program, or into its tests, comes with a
// licence that allows it.
func TestLicences(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "github.com/acitap/acitap/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		path, dir, _ := strings.Cut(line, " ")
		if path == "" || seen[path] {
			continue
		}
		seen[path] = true
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		found := ""
		for _, name := range names {
			base := strings.ToUpper(filepath.Base(name))
			if !strings.HasPrefix(base, "LICEN") && !strings.HasPrefix(base, "COPYING") && !strings.HasPrefix(base, "UNLICENSE") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			text := strings.Join(strings.Fields(string(b)), " ")
			for _, a := range accepted {
				if strings.Contains(text, a.words) {
					found = a.name
				}
			}
		}
		if found == "" {
			t.Errorf("%s has no licence that is among the accepted ones", path)
		}
	}
	if len(seen) < 10 {
		t.Errorf("looked at %d modules, there are more", len(seen))
	}
}

// The program stays small, is the same when it is built again, and its bill
// names its parts. What it takes is what a build without a cache takes, so it
// has to be asked for, as "make test" does.
func TestRelease(t *testing.T) {
	if os.Getenv("ACITAP_TEST_RELEASE") == "" {
		t.Skip("set ACITAP_TEST_RELEASE=1 to build the program as it is released")
	}
	t.Chdir("../..")
	var sums [2]string
	for i := range sums {
		dir := t.TempDir()
		if err := run(dir, []string{"linux/amd64"}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(b)
		var bill struct{ Components []component }
		if b, err = os.ReadFile(filepath.Join(dir, "acitap-linux-amd64.cdx.json")); err == nil {
			err = json.Unmarshal(b, &bill)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"github.com/go-chi/chi/v5", "github.com/coder/websocket"} {
			found := false
			for _, c := range bill.Components {
				found = found || c.Name == name && len(c.Hashes) == 1
			}
			if !found {
				t.Errorf("the bill does not name %s", name)
			}
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("built twice it differs:\n%s%s", sums[0], sums[1])
	}
}
