package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// asCommand is the environment variable that makes the test binary the program.
const asCommand = "SPOOLGORE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(runCommand(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// runCommand runs a command and returns its exit code, or -1 if args are no command.
func runCommand(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &Program{Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: "v0"}
	code, ok := p.Run(args)
	if !ok {
		return -1
	}
	return code
}

// outputOf runs a command with an input and returns the exit code and what it printed.
func outputOf(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runCommand(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}
