package cli

import "io"

// runCommand runs a command and returns its exit code; -1: args are no command.
func runCommand(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &Program{Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: "v0"}
	code, ok := p.Run(args)
	if !ok {
		return -1
	}
	return code
}
