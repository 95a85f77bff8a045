package cli

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/asowner"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A call is one call of a command on a spool.
type call struct {
	spool
	usage      string   // operands of the command as its help has them: "[DIR] NAME..."
	operands   []string // after the directory
	origin     string   // the setting that named the spool; empty: an operand did
	configured bool     // -config named the spool
	found      config.Found
}

// A spool is the spool of a call.
type spool struct {
	*output
	now    time.Time
	dir    *spooldir.Dir // nil: there is a queue
	view   *mailq.View   // nil: there is a queue
	queue  Queue         // nil: a directory is the spool
	source mailq.Source  // the view or the queue
}

// An output is where a command prints.
type output struct {
	program        string // for errors
	name           string // of the command
	stdin          io.Reader
	stdout, stderr io.Writer
	out            *bufio.Writer // to stdout
	failed         bool          // an error was printed
}

// spoolFlags are the flags of all commands on a spool.
type spoolFlags struct{ statusFile, config string }

// onSpool makes c a command on a spool: it adds the common flags. do gets the call.
func (c *command) onSpool(do func(*call) error) *command {
	f := spoolFlags{statusFile: os.Getenv("SPOOLGORE_JSON")}
	c.flags.AddString(&f.statusFile, "statusfile", "PATH",
		"the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)")
	c.flags.AddString(&f.config, "config", "FILE",
		"the configuration of the daemon: its dir is the spool, its json the status file")
	c.run = func(p *Program, args []string) int { return c.runOnSpool(p, args, &f, do) }
	return c
}

func (c *command) runOnSpool(p *Program, args []string, f *spoolFlags, do func(*call) error) int {
	a := &call{usage: c.operands[0], spool: spool{now: time.Now(), output: &output{
		program: p.name(), name: c.name,
		stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, out: bufio.NewWriterSize(p.Stdout, 64<<10),
	}}}
	operands, err := parseMixed(c.flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.writeHelp(p)
		return ExitOK
	case err != nil:
		err = usageErr(err.Error())
	case p.Queue != nil:
		err = openQueue(a, p.Queue, operands, f)
	default:
		err = a.open(operands, f)
	}
	if err == nil {
		err = do(a)
	}
	if flushErr := a.out.Flush(); err == nil {
		err = flushErr
	}
	return a.exitCode(err)
}

// parseMixed parses flags before, between and behind operands, and returns the operands. All arguments after "--" are
// operands.
func parseMixed(fs *config.FlagSet, args []string) (operands []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return operands, nil
		}
		if ended := len(args) - len(rest) - 1; ended >= 0 && args[ended] == "--" {
			return append(operands, rest...), nil
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
}

// open finds the spool: the directory of -config, else the first operand, else the configured one.
func (c *call) open(operands []string, f *spoolFlags) error {
	found, err := config.FindSpool(f.config, os.Getenv)
	c.found = found
	if err != nil {
		return exitErr{ExitConfig, err.Error()}
	}
	dir := found.Dir
	c.origin, c.configured = found.Origin, f.config != "" && dir != ""
	if len(operands) > 0 && !c.configured && (dir == "" || isDir(operands[0])) {
		dir, c.origin, operands = operands[0], "", operands[1:]
	}
	if dir == "" {
		return usageErr("which directory is the spool? Name it, or set SPOOLGORE_DIR, or dir in " + config.SystemFile())
	}
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitErr{ExitConfig, "there is no directory " + dir + missingSpool(c, dir)}
	case err != nil:
		return err
	case !fi.IsDir():
		return exitErr{ExitConfig, dir + " is a file: name the spool directory, then the message"}
	}
	if !found.IsIn(fi) && (f.config == "" || found.Dir != "") { // the settings of another spool
		found.StatusFile, found.Temporary = "", ""
	}
	c.operands = operands
	c.view, err = mailq.Of(dir, cmp.Or(f.statusFile, found.StatusFile), c.now)
	if err != nil {
		return err
	}
	c.dir, c.source = c.view.Dir, c.view
	if found.Temporary != "" {
		c.view.Temporary = strings.Fields(found.Temporary)
	}
	if c.name == putName { // reads files of its caller
		return nil
	}
	return asowner.Become(c.dir)
}

// missingSpool returns what to write instead of dir, which is perhaps a message or an address: no spool is configured,
// and so the first operand was taken for the spool. It is empty if dir has to be the spool.
func missingSpool(c *call, dir string) string {
	_, others, ok := strings.Cut(c.usage, "[DIR] ")
	if c.origin != "" || !ok || filepath.IsAbs(dir) {
		return ""
	}
	return fmt.Sprintf(", and no spool is configured: write %s %s DIR %s, or set SPOOLGORE_DIR, or dir in %s",
		c.program, c.name, others, config.SystemFile())
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// noOperands returns an error if there are operands after the directory.
func (c *call) noOperands() error {
	switch {
	case len(c.operands) == 0:
		return nil
	case c.queue != nil:
		return usageErr(fmt.Sprintf("%s takes no operand like %q", c.name, c.operands[0]))
	case c.configured:
		return usageErr(fmt.Sprintf("the directory is that of -config, and %s takes no other operand like %q", c.name,
			c.operands[0]))
	case c.origin == "":
		return usageErr(fmt.Sprintf("%s takes a directory, and no other operand like %q", c.name, c.operands[0]))
	}
	return exitErr{ExitConfig, fmt.Sprintf("there is no directory %s", c.operands[0])}
}

// say prints one line to standard error.
func (o *output) say(format string, args ...any) {
	o.out.Flush() // keeps the order on a terminal
	fmt.Fprintf(o.stderr, "%s: %s\n", o.program, console.Escape(fmt.Sprintf(format, args...)))
}

// complain prints an error with one message. The command continues with the others.
func (o *output) complain(format string, args ...any) {
	o.failed = true
	o.say(format, args...)
}

// exitCode prints the error of the command and returns the exit code.
func (o *output) exitCode(err error) int {
	var usage usageErr
	var exit exitErr
	switch {
	case err == nil && o.failed:
		return ExitNotDone
	case err == nil:
		return ExitOK
	case isClosedPipe(err):
		return ExitOK // the reader, such as head, has seen enough
	case errors.As(err, &usage):
		fmt.Fprintf(o.stderr, "%s: %s: %s (see %s help %s)\n", o.program, o.name, console.Escape(err.Error()),
			o.program, o.name)
		return ExitUsage
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; run it as root, or as the user of the daemon", err)
	}
	o.say("%s: %v", o.name, err)
	if errors.As(err, &exit) {
		return exit.code
	}
	return ExitNotDone
}

// checkSpool returns an error if no daemon has run on the directory: the files of a mistyped directory must not be
// moved or removed.
func (c *spool) checkSpool() error {
	if c.queue == nil && !c.isSpool() {
		return exitErr{ExitConfig, fmt.Sprintf("%s is no spool: no daemon has ever run on it. Nothing was changed",
			c.dir.Path())}
	}
	return nil
}

// isSpool reports whether a daemon has run on the directory.
func (c *spool) isSpool() bool {
	if _, err := c.dir.FS().Lstat(c.dir.File(spooldir.LockFile)); err == nil {
		return true
	}
	for _, place := range []spooldir.Place{spooldir.Hold, spooldir.Failed} {
		if fi, err := c.dir.FS().Lstat(c.dir.File(string(place))); err != nil || !fi.IsDir() {
			return false
		}
	}
	return true
}

// reportStatus prints problems of the status file. It is called after the last message was read.
func (c *spool) reportStatus() {
	if c.queue != nil {
		return
	}
	if err := c.view.Trouble; err != nil {
		c.say("status file %s cannot be used, so little is known of the messages: %v", c.view.StatusFile(), err)
		return
	}
	if c.statusElsewhere() && c.daemon().runs {
		c.say("a daemon runs, but there is no status file %s: if the daemon has another one (-json), name it with "+
			"-statusfile",
			c.view.StatusFile())
	}
}

// checkStatus returns an error if the status file is missing or damaged: every message looks new then, and a filter
// would choose the wrong messages. It is called after the last message was read.
func (c *spool) checkStatus() error {
	if c.queue != nil {
		return nil
	}
	switch err := c.view.Trouble; {
	case err != nil:
		return exitErr{ExitConfig, fmt.Sprintf("nothing was done, because status file %s cannot be used: %v",
			c.view.StatusFile(), err)}
	case c.statusElsewhere():
		return exitErr{ExitConfig, fmt.Sprintf("nothing was done, because there is no status file %s: "+
			"if the daemon has another one (-json), name it with -statusfile", c.view.StatusFile())}
	}
	return nil
}

// statusElsewhere reports whether there is no status file although a daemon has run. A daemon writes the status file
// soon after its lock.
func (c *spool) statusElsewhere() bool {
	lock, err := c.dir.FS().Lstat(c.dir.File(spooldir.LockFile))
	return err == nil && ago(c.now, lock.ModTime()) > 10*time.Second && c.view.Missing()
}

// stamp is the layout of times in the output.
const stamp = "2006-01-02 15:04:05"

// at returns a time and its distance from now.
func (c *spool) at(t time.Time) string {
	if t.After(c.now) {
		return t.Local().Format(stamp) + " (in " + console.Span(t.Sub(c.now)) + ")"
	}
	return t.Local().Format(stamp) + " (" + console.Span(c.now.Sub(t)) + " ago)"
}

// ago returns how long ago t was; zero if t is in the future.
func ago(now, t time.Time) time.Duration { return max(0, now.Sub(t)) }
