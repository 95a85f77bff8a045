// Package cli has the commands of spoolgore, each in a file of its own.
package cli

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/unbit/spoolgore/internal/console"
)

// A Program is one call of spoolgore.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
}

// Run runs the command that args begin with and returns its exit code. ok is false if args are for the daemon.
func (p *Program) Run(args []string) (code int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	if command, ok := commands[args[0]]; ok {
		return command(p, args[1:]), true
	}
	return runAbout(p, args[0], args[1:])
}

// PrintHelp prints the help of the daemon.
func (p *Program) PrintHelp() int {
	fmt.Fprint(p.Stdout, help)
	return ExitOK
}

// PrintVersion prints the version of the program, of Go and of the system.
func (p *Program) PrintVersion() int {
	fmt.Fprintln(p.Stdout, "spoolgore", p.Version, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return ExitOK
}

// failure prints the error of a command and returns code.
func (p *Program) failure(command string, err error, code int) int {
	fmt.Fprintf(p.Stderr, "spoolgore: %s: %s\n", command, console.Escape(strings.TrimPrefix(err.Error(), "spoolgore: ")))
	return code
}
