package cli

// commands are what the first argument can ask for instead of the daemon. A spool directory of the same name is ./name.
// Each says with -h what it does; help and completion, which know of all, are in help_commands.go.
var commands = map[string]func(p *Program, args []string) int{
	"demo": runDemo,

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
