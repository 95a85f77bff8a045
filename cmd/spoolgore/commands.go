package main

import "io"

// commands are what the first argument can ask for instead of the daemon. A spool directory of the same name is ./name.
var commands = map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) int{
	"explain": runExplain,
	"test":    runTest,
	"demo":    func(args []string, _ io.Reader, stdout, stderr io.Writer) int { return runDemo(args, stdout, stderr) },
}
