package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
)

// runAbout does "help" and "completion", which look at the table of commands and so cannot be in it.
func runAbout(p *Program, name string, args []string) (code int, ok bool) {
	switch name {
	case "help":
		return runHelp(p, args), true
	case "completion":
		return runCompletion(p, args), true
	}
	return 0, false
}

// runHelp is "spoolgore help [COMMAND]".
func runHelp(p *Program, args []string) int {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(p.Stdout, help)
		return ExitOK
	}
	if code, ok := runAbout(p, args[0], []string{"-h"}); ok {
		return code
	}
	if command, ok := commands[args[0]]; ok {
		return command(p, []string{"-h"})
	}
	return p.UsageError(fmt.Errorf("there is no command %q%s", args[0], meant(args[0])))
}

// meant is which command a person may have meant, as the end of a sentence.
func meant(name string) string {
	if near := conf.Nearest(name, commandNames()); near != "" {
		return ": is it " + near + "?"
	}
	return ""
}

// commandNames are the names of all commands, sorted.
func commandNames() []string {
	names := append(slices.Collect(maps.Keys(commands)), "help", "completion")
	slices.Sort(names)
	return names
}

const completionHelp = `usage: spoolgore completion SHELL

Prints what makes bash, zsh or fish complete commands, flags, directories and names of messages. In bash, say
  eval "$(spoolgore completion bash)"
in zsh, behind compinit,
  source <(spoolgore completion zsh)
and in fish
  spoolgore completion fish | source
`

// runCompletion is "spoolgore completion SHELL".
func runCompletion(p *Program, args []string) int {
	if len(args) != 1 {
		return p.UsageError(fmt.Errorf("completion: for which shell? bash, zsh or fish"))
	}
	switch args[0] {
	case "-h", "-help", "--help":
		fmt.Fprint(p.Stdout, completionHelp)
	case "bash":
		fmt.Fprint(p.Stdout, bashCompletion())
	case "zsh":
		fmt.Fprint(p.Stdout, zshCompletion())
	case "fish":
		fmt.Fprint(p.Stdout, fishCompletion())
	default:
		return p.UsageError(fmt.Errorf("completion: there is none for %q, only for bash, zsh and fish", args[0]))
	}
	return ExitOK
}

// A documented flag is one that a help text has a line for.
type documented struct{ name, value, about string }

var flagLine = regexp.MustCompile(`(?m)^  -([a-z0-9]+)(?: ([A-Z]+))? {2,}(\S.*)$`)

// flagsIn returns the flags that a help text documents.
func flagsIn(text string) (all []documented) {
	for _, m := range flagLine.FindAllStringSubmatch(text, -1) {
		about, _, _ := strings.Cut(m[3], ";")
		about, _, _ = strings.Cut(about, ":")
		about, _, _ = strings.Cut(about, " (")
		all = append(all, documented{m[1], m[2], strings.TrimSpace(about)})
	}
	return all
}

// flagsOf returns the flags of a command, by what it says of itself; of the daemon, if name is empty. So no table of flags
// can be out of date.
func flagsOf(name string) []documented {
	if name == "" {
		return flagsIn(help)
	}
	var text bytes.Buffer
	runHelp(&Program{Stdout: &text, Stderr: io.Discard}, []string{name})
	if text.String() == help {
		return nil // it has no help of its own
	}
	return flagsIn(text.String())
}

// namesMessages are the commands that are given names of messages, and which ones list knows for them.
var namesMessages = map[string]string{
	"show": "", "delete": "", "hold": "-state new,waiting,sending,deferred,scheduled,unusable", "release": "-state held", "retry": "",
}

// valuesOf are the values of flags that can be told.
var valuesOf = map[string]string{
	"state": "new waiting sending deferred scheduled unusable held failed", "smtptls": "auto starttls tls none",
}

// flagWords are the flags of a command in a line.
func flagWords(name string) string {
	var words []string
	for _, f := range flagsOf(name) {
		words = append(words, "-"+f.name)
	}
	return strings.Join(words, " ")
}

// about is the first sentence of what a command says of itself.
func about(name string) string {
	var text bytes.Buffer
	runHelp(&Program{Stdout: &text, Stderr: io.Discard}, []string{name})
	switch {
	case name == "help":
		return "Says what a command does"
	case text.String() == help:
		return "Shows it at work"
	}
	_, rest, _ := strings.Cut(text.String(), "\n\n")
	first, _, _ := strings.Cut(strings.Join(strings.Fields(rest), " "), ".")
	first, _, _ = strings.Cut(first, ":")
	return first
}
