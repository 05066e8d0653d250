// Package docs is the guide; this file runs its commands.
package docs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A command is one of a document.
type command struct {
	file string
	line int
	text string
}

var notRun = regexp.MustCompile(`^<!-- not run: \S.*-->$`)

// commands returns the curl commands of a document. Every other command must
// stand in a block that says why it is not run.
func commands(t *testing.T, file string) (list []command, blocks int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i := 0; i < len(lines); i++ {
		if fence := strings.TrimSpace(lines[i]); fence != "```sh" && fence != "```bash" {
			continue
		}
		blocks++
		skip := i > 0 && notRun.MatchString(strings.TrimSpace(lines[i-1]))
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
			at, text := i+1, lines[i]
			for strings.HasSuffix(text, `\`) && i+1 < len(lines) {
				i++
				text = strings.TrimSuffix(text, `\`) + strings.TrimSpace(lines[i])
			}
			switch text = strings.TrimSpace(text); {
			case skip, text == "", strings.HasPrefix(text, "#"):
			case strings.HasPrefix(text, "curl "):
				list = append(list, command{file, at, text})
			default:
				t.Errorf("%s:%d: %q is not run, and nothing before its block says why (<!-- not run: reason -->)", file, at, text)
			}
		}
	}
	return list, blocks
}

// waits are commands that may go on for as long as they like.
var waits = regexp.MustCompile(`curl -N|/stream|[?&]wait=|/wait`)

// Every command of the guide and of the README does what it says, against a
// demo.
func TestCommands(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("the commands of the guide need %s: %v", tool, err)
		}
	}
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	var list []command
	for _, file := range append(files, "../README.md") {
		found, blocks := commands(t, file)
		list = append(list, found...)
		if file == "../README.md" && blocks == 0 {
			t.Error("found no commands in the README")
		}
	}
	if len(list) < 30 {
		t.Errorf("found %d commands, there are more", len(list))
	}
	address := demo(t)
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		followInPython(t, address)
	})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		runAll(t, list, address)
	})
}

// runAll runs the commands one after the other, as a reader would.
func runAll(t *testing.T, list []command, address string) {
	for _, c := range list {
		text := strings.NewReplacer("localhost:8080", address, "127.0.0.1:8080", address).Replace(strings.TrimPrefix(c.text, "curl "))
		limit, code := 20, 0
		if waits.MatchString(c.text) {
			limit, code = 1, 28 // it is ended
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf("curl --silent --show-error --fail-with-body --max-time %d %s", limit, text))
		cmd.Env = append(os.Environ(), "no_proxy=*")
		out, err := cmd.CombinedOutput()
		cancel()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == code {
			err = nil
		}
		if err != nil {
			t.Errorf("%s:%d: %s\n%v: %.600s", c.file, c.line, c.text, err, out)
		}
	}
}

// followInPython runs the recipe until it has printed an event.
func followInPython(t *testing.T, address string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	b, err := os.ReadFile("recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n```python\n")
	text, _, _ = strings.Cut(text, "\n```\n")
	file := filepath.Join(t.TempDir(), "follow.py")
	if err := os.WriteFile(file, []byte(strings.NewReplacer("localhost:8080", address).Replace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-u", file)
	cmd.Env = append(os.Environ(), "no_proxy=*")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	cancel()
	_ = cmd.Wait() // it was killed
	if !regexp.MustCompile(`^(created|modified|deleted) \S+/fault-`).MatchString(line) {
		t.Errorf("got %q (%v) %s, want an event of a fault", line, err, stderr.String())
	}
}

// demo runs acitap demo and returns its address.
func demo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "acitap")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/acitap").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "demo", "--listen", "127.0.0.1:0")
	cmd.Dir = t.TempDir()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { // what the tests are told is no setting
		return strings.HasPrefix(v, "ACITAP_") || strings.HasPrefix(v, "APIC_")
	})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		killed := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		defer killed.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v: %s", err, stderr.String())
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := regexp.MustCompile(`page +(http://\S+)/`).FindStringSubmatch(lines.Text()); m != nil {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Fatal(err)
			}
			go func() { // nobody reads the rest, and the demo must not wait for it
				for lines.Scan() {
				}
			}()
			out, err := exec.CommandContext(t.Context(), "curl", "--silent", "--fail", "--noproxy", "*", "--retry", "20", "--retry-delay", "1", "--retry-all-errors", m[1]+"/readyz").CombinedOutput()
			if err != nil {
				t.Fatalf("the demo does not become ready: %v %s", err, out)
			}
			return u.Host
		}
	}
	t.Fatal("the demo has not said where it is") // why, says its end
	return ""
}

// Links within the guide lead somewhere.
func TestLinks(t *testing.T) {
	files, _ := filepath.Glob("*.md")
	more, _ := filepath.Glob("../*.md")
	for _, file := range append(append(files, more...), "../deploy/README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// Every setting has its line, and every line its setting.
func TestSettings(t *testing.T) {
	b, err := os.ReadFile("settings.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\b(?:APIC|ACITAP)_[A-Z_]+\b`)
	in := func(text []byte) map[string]bool {
		m := make(map[string]bool)
		for _, n := range name.FindAllString(string(text), -1) {
			m[n] = true
		}
		return m
	}
	said, real := in(b), in(example)
	for n := range real {
		if !said[n] {
			t.Errorf("settings.md does not say what %s is", n)
		}
	}
	for n := range said {
		if !real[n] {
			t.Errorf("settings.md speaks of %s, which .env.example does not have", n)
		}
	}
}
