package main

import (
	"bytes"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var helpFlag = regexp.MustCompile(`(?m)^  -([a-z-]+)`)

func TestCompletionKnowsAllFlags(t *testing.T) {
	inEmptyDir(t)
	for _, c := range flagsByCommand() {
		if c.flags == nil {
			continue
		}
		var help bytes.Buffer
		if code := run(t.Context(), []string{c.command, "-h"}, nil, io.Discard, &help); code != exitOK {
			t.Errorf("acitap %s -h: exit status %d", c.command, code)
		}
		var want []string
		for _, m := range helpFlag.FindAllStringSubmatch(help.String(), -1) {
			want = append(want, m[1])
		}
		got := slices.Sorted(slices.Values(c.flags))
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: got flags %q, want %q", c.command, got, want)
		}
	}
}

func TestCompletionCompletes(t *testing.T) {
	var script bytes.Buffer
	for _, shell := range []string{"zsh", "fish", "bash"} {
		script.Reset()
		if code := run(t.Context(), []string{"completion", shell}, nil, &script, io.Discard); code != exitOK || !strings.Contains(script.String(), "until-match") {
			t.Errorf("%s: exit status %d, %s", shell, code, script.String())
		}
	}
	if code := run(t.Context(), []string{"completion", "tcsh"}, nil, io.Discard, io.Discard); code != exitUsage {
		t.Errorf("tcsh: exit status %d", code)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash here to try it with")
	}
	for line, want := range map[string]string{
		"acitap ta": "tail", "acitap tail --un": "--until-match", "acitap token x --role o": "operator", "acitap completion f": "fish", "acitap serve --tok": "--tokens-file",
	} {
		words := strings.Fields(line)
		ask := script.String() + "\nCOMP_WORDS=(" + line + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + "; _acitap; echo \"${COMPREPLY[@]}\"\n"
		out, err := exec.Command(bash, "--norc", "-c", ask).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %s", line, got, err, want)
		}
	}
}
