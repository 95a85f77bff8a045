package main

import "io"

// commands are what the first argument can ask for instead of the daemon. A spool directory of the same name is ./name.
// Each says with -h what it does; help and completion, which know of all, are in help_commands.go.
var commands = map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) int{
	"demo": func(args []string, _ io.Reader, stdout, stderr io.Writer) int { return runDemo(args, stdout, stderr) },

	"list":    runList,
	"show":    runShow,
	"hold":    runHold,
	"release": runRelease,
	"delete":  runDelete,
	"retry":   runRetry,
	"flush":   runFlush,
	"stats":   runStats,
	"check":   runCheck,

	"explain": runExplain,
	"test":    runTest,
}
