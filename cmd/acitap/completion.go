package main

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// flagsByCommand are the flags that a shell completes. A test holds them
// against what the commands say with -h.
func flagsByCommand() []commandFlags {
	serve, demo := []string{"env-file"}, []string{"env-file"}
	for _, f := range names() {
		if f.Type == reflect.TypeFor[secret]() {
			continue
		}
		variable := f.Tag.Get("env")
		serve = append(serve, flagName(variable))
		if !strings.HasPrefix(variable, "APIC_") {
			demo = append(demo, flagName(variable))
		}
	}
	return []commandFlags{
		{"serve", serve},
		{"demo", demo},
		{"sim", []string{"listen", "plain", "controllers", "user", "password", "seed", "rate", "endpoints", "empty"}},
		{"tail", []string{"url", "token-file", "ca-file", "since", "dn", "status", "origin", "fabric", "tenant", "node", "attr", "filter", "json", "color", "until-match", "timeout"}},
		{"token", []string{"role"}},
		{"healthcheck", nil},
		{"completion", nil},
		{"version", nil},
		{"help", nil},
	}
}

type commandFlags struct {
	command string
	flags   []string
}

// words that a flag or a command takes, where they are few.
var words = map[string]string{
	"--role": "reader operator", "--color": "auto always never", "--status": "created modified deleted", "--origin": "live snapshot resync",
	"--log-level": "debug info warn error", "--log-format": "text json", "completion": "bash zsh fish",
}

// completion prints a script for a shell: source <(acitap completion bash)
func completion(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 {
		switch args[0] {
		case "bash":
			fmt.Fprint(stdout, bashCompletion())
			return exitOK
		case "zsh":
			fmt.Fprint(stdout, "autoload -U +X bashcompinit && bashcompinit\n"+bashCompletion())
			return exitOK
		case "fish":
			fmt.Fprint(stdout, fishCompletion())
			return exitOK
		}
	}
	fmt.Fprintln(stderr, "acitap completion: takes bash, zsh or fish; with bash: source <(acitap completion bash)")
	return exitUsage
}

func sortedWords() []string {
	var list []string
	for w := range words {
		list = append(list, w)
	}
	slices.Sort(list)
	return list
}

func bashCompletion() string {
	var b strings.Builder
	b.WriteString("_acitap() {\n  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} choices\n  case $before in\n")
	for _, w := range sortedWords() {
		fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %q -- \"$word\")); return ;;\n", w, words[w])
	}
	b.WriteString("    --*-file|--data-dir) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n  esac\n  if [ \"$COMP_CWORD\" = 1 ]; then\n    choices=\"")
	var commands []string
	for _, c := range flagsByCommand() {
		commands = append(commands, c.command)
	}
	b.WriteString(strings.Join(commands, " ") + "\"\n  else\n    case ${COMP_WORDS[1]} in\n")
	for _, c := range flagsByCommand() {
		if len(c.flags) > 0 {
			fmt.Fprintf(&b, "      %s) choices=\"--%s\" ;;\n", c.command, strings.Join(c.flags, " --"))
		}
	}
	b.WriteString("    esac\n  fi\n  COMPREPLY=($(compgen -W \"$choices\" -- \"$word\"))\n}\ncomplete -F _acitap acitap\n")
	return b.String()
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("complete -c acitap -f\n")
	for _, c := range flagsByCommand() {
		fmt.Fprintf(&b, "complete -c acitap -n __fish_use_subcommand -a %s\n", c.command)
		if w := words[c.command]; w != "" {
			fmt.Fprintf(&b, "complete -c acitap -n '__fish_seen_subcommand_from %s' -a '%s'\n", c.command, w)
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c acitap -n '__fish_seen_subcommand_from %s' -l %s", c.command, f)
			switch {
			case words["--"+f] != "":
				fmt.Fprintf(&b, " -x -a '%s'", words["--"+f])
			case strings.HasSuffix(f, "-file") || f == "data-dir":
				b.WriteString(" -r -F")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
