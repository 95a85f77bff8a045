// Package cli has the commands of spoolgore: a file for each, and one table for help, completion and the tests of the
// documents.
package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
)

// A Program is one call of spoolgore.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
	Name           string // for help and errors; empty: spoolgore
	Queue          Queue  // what commands work on; nil: the directory of a spool that the arguments name
}

// name returns the name of the program.
func (p *Program) name() string { return cmp.Or(p.Name, "spoolgore") }

// A command is one entry of the table of commands.
type command struct {
	name     string
	operands []string // one usage line each, as "[flags] DIR NAME..."
	brief    string   // one line for the help of the program and for completion
	about    string   // paragraphs of the help, above the flags
	notes    string   // paragraphs below the flags
	flags    *config.FlagSet
	messages []string // operands are messages: calls of "list -names" that print the names to complete
	values   []string // operands are one of these words
	daemon   bool     // the flags of the daemon are known, too
	run      func(p *Program, args []string) int
}

// commands returns the table of commands, in the order of the help.
func commands() []*command {
	return []*command{
		putCommand(), listCommand(), showCommand(), holdCommand(), releaseCommand(), deleteCommand(), retryCommand(),
		redirectCommand(),
		flushCommand(), traceCommand(), statsCommand(), checkCommand(), explainCommand(), testCommand(), pinCommand(),
		loginCommand(), demoCommand(), completionCommand(), helpCommand(),
	}
}

// commandNames returns the names of all commands.
func commandNames() (names []string) {
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// find returns the command of that name; nil: there is none.
func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

// Run runs the command that args begin with and returns its exit code. ok is false if args are for the daemon.
func (p *Program) Run(args []string) (code int, ok bool) {
	switch {
	case len(args) == 0:
		return 0, false
	case args[0] == completeFlag:
		p.complete(args[1:])
		return ExitOK, true
	}
	if c := find(args[0]); c != nil {
		return c.run(p, args[1:]), true
	}
	if near := misspelled(args[0]); near != "" {
		return p.UsageError(fmt.Errorf("%q is neither a command nor a directory: is it %s?", args[0], near)), true
	}
	return 0, false
}

// misspelled returns the command that is similar to a word. It is empty if the word is a flag, a path, or the name of a
// file, or if no command is similar.
func misspelled(word string) string {
	if strings.HasPrefix(word, "-") || strings.ContainsAny(word, `/\`) {
		return ""
	}
	if _, err := os.Lstat(word); err == nil {
		return ""
	}
	return conf.Nearest(word, commandNames())
}

// PrintVersion prints the versions of the program and of Go, and the system.
func (p *Program) PrintVersion() int {
	fmt.Fprintln(p.Stdout, "spoolgore", p.Version, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return ExitOK
}

// failure prints the error of a command and returns code.
func (p *Program) failure(command string, err error, code int) int {
	fmt.Fprintf(p.Stderr, "spoolgore: %s: %s\n", command,
		console.Escape(strings.TrimPrefix(err.Error(), "spoolgore: ")))
	return code
}
