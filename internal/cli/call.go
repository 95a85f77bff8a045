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
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// ExitNotDone is the exit code of a command that could not do all that it was told; it has said what.
const ExitNotDone = 1

// call is one call of a command on a spool.
type call struct {
	name           string   // of the command
	operands       []string // behind the directory
	stdin          io.Reader
	stdout, stderr io.Writer
	out            *bufio.Writer // stdout
	now            time.Time
	dir            *spooldir.Dir
	view           *mailq.View
	configured     bool // the directory is that of -config, and no operand
	failed         bool // something could not be done, and was said
}

// A usageErr says what is wrong with how a command was called.
type usageErr string

func (e usageErr) Error() string { return string(e) }

// onSpool parses the arguments of a command on a spool, and does it. Flags may stand anywhere, as in "check DIR -warn 5m".
func onSpool(p *Program, name, help string, args []string, bind func(*flag.FlagSet), do func(*call) error) int {
	c := &call{name: name, stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, out: bufio.NewWriterSize(p.Stdout, 64<<10), now: time.Now()}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40) // hundreds of thousands of messages shall not take half a gigabyte
	}
	status := fs.String("statusfile", os.Getenv("SPOOLGORE_JSON"), "")
	file := fs.String("config", "", "")
	bind(fs)
	operands, err := parseMixed(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(p.Stdout, help)
		return ExitOK
	}
	if err != nil {
		err = usageErr(err.Error())
	} else {
		err = c.open(operands, *status, *file)
	}
	if err == nil {
		err = do(c)
	}
	if flushErr := c.out.Flush(); err == nil {
		err = flushErr
	}
	return c.exitCode(err)
}

// parseMixed parses flags that stand before, between and behind operands, and returns the latter. All that follows "--" is
// an operand.
func parseMixed(fs *flag.FlagSet, args []string) (operands []string, err error) {
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

// open takes the spool directory from the daemon's configuration or the operands, and looks whether it is there.
func (c *call) open(operands []string, status, file string) error {
	dir, json, err := spoolOf(file)
	switch {
	case err != nil:
		return exitErr{ExitConfig, err.Error()}
	case dir != "":
		c.configured = true
	case len(operands) == 0 || operands[0] == "":
		return usageErr("which directory is the spool?")
	default:
		dir, operands = operands[0], operands[1:]
	}
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitErr{ExitConfig, "there is no directory " + dir}
	case err != nil:
		return err
	case !fi.IsDir():
		return exitErr{ExitConfig, dir + " is a file: name the spool directory, then the message"}
	}
	c.operands = operands
	c.view, err = mailq.Of(dir, cmp.Or(status, json), c.now)
	if err == nil {
		c.dir = c.view.Dir
	}
	return err
}

// spoolOf returns the spool directory and the status file that a configuration of the daemon names; each may be empty, as
// may the name of the configuration.
func spoolOf(file string) (dir, json string, err error) {
	if file == "" {
		return "", "", nil
	}
	settings, err := config.FileSettings(file, "-config")
	for _, s := range settings {
		switch s.Key {
		case "dir":
			dir = s.Value
		case "json":
			json = s.Value
		}
	}
	return dir, json, err
}

// nothingElse is an error if there are operands behind the directory.
func (c *call) nothingElse() error {
	switch {
	case len(c.operands) == 0:
		return nil
	case c.configured:
		return usageErr(fmt.Sprintf("the directory is that of -config, and %s takes nothing else like %q", c.name, c.operands[0]))
	}
	return usageErr(fmt.Sprintf("%s takes a directory, and nothing behind it like %q", c.name, c.operands[0]))
}

// say writes one line to standard error.
func (c *call) say(format string, args ...any) {
	c.out.Flush() // so that both are in order on a terminal
	fmt.Fprintf(c.stderr, "spoolgore: %s\n", console.Escape(fmt.Sprintf(format, args...)))
}

// complain says what could not be done; the others go on.
func (c *call) complain(format string, args ...any) {
	c.failed = true
	c.say(format, args...)
}

// exitCode says what went wrong, and what that means to who has called.
func (c *call) exitCode(err error) int {
	var usage usageErr
	var exit exitErr
	switch {
	case err == nil && c.failed:
		return ExitNotDone
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(c.stderr, "spoolgore: %s: %s (see spoolgore help %s)\n", c.name, console.Escape(err.Error()), c.name)
		return ExitUsage
	}
	c.say("%s: %v", c.name, err)
	if errors.As(err, &exit) {
		return exit.code
	}
	return ExitNotDone
}

// An exitErr is an error with an exit code of its own.
type exitErr struct {
	code int
	text string
}

func (e exitErr) Error() string { return e.text }

// checkSpool is asked before files are moved or removed: of a directory on which no daemon has ever run it cannot be
// told whether it is a spool, and a mistyped one may hold anything.
func (c *call) checkSpool() error {
	if _, err := os.Lstat(c.dir.File(spooldir.LockFile)); err == nil {
		return nil
	}
	for _, place := range []spooldir.Place{spooldir.Hold, spooldir.Failed} {
		if fi, err := os.Lstat(c.dir.File(string(place))); err != nil || !fi.IsDir() {
			return exitErr{ExitConfig, fmt.Sprintf("%s does not look like a spool, as no daemon has ever run on it: nothing is changed there", c.dir.Path())}
		}
	}
	return nil
}

// reviewStatus says what is wrong with the status file, once all messages were seen.
func (c *call) reviewStatus() {
	if err := c.view.Trouble; err != nil {
		c.say("status file %s cannot be used, so of messages little is known: %v", c.view.StatusFile(), err)
		return
	}
	if c.statusElsewhere() && c.daemon().runs {
		c.say("a daemon runs, and there is no status file %s: if it has another one (-json), name it with -statusfile", c.view.StatusFile())
	}
}

// checkStatus is asked once all messages were seen, before something is done to those that a filter has let through: who
// does not know the status takes each message for a new one, and chooses others than were meant.
func (c *call) checkStatus() error {
	switch err := c.view.Trouble; {
	case err != nil:
		return exitErr{ExitConfig, fmt.Sprintf("nothing was done, as by status file %s it cannot be told which messages are meant: %v", c.view.StatusFile(), err)}
	case c.statusElsewhere():
		return exitErr{ExitConfig, fmt.Sprintf("nothing was done, as there is no status file %s by which to tell which messages are meant: "+
			"if the daemon has another one (-json), name it with -statusfile", c.view.StatusFile())}
	}
	return nil
}

// statusElsewhere reports whether there is no status file although a daemon has run, which writes one soon after its lock.
func (c *call) statusElsewhere() bool {
	lock, err := os.Lstat(c.dir.File(spooldir.LockFile))
	return err == nil && ago(c.now, lock.ModTime()) > 10*time.Second && c.view.Missing()
}

// age is a time as a flag: seconds, or as Go writes it, or days as 2d.
type age time.Duration

func (a *age) String() string { return time.Duration(*a).String() }

func (a *age) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errors.New("want a time, such as 30 (seconds), 15m, 2h or 3d")
		}
		*a = age(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	if (*config.Span)(a).Set(text) != nil {
		return errors.New("want a time of more than zero, such as 30 (seconds), 15m, 2h or 3d")
	}
	return nil
}

// stamp is how times are written for people.
const stamp = "2006-01-02 15:04:05"

// at is a moment, and how far off it is.
func (c *call) at(t time.Time) string {
	if t.After(c.now) {
		return t.Local().Format(stamp) + " (in " + console.Span(t.Sub(c.now)) + ")"
	}
	return t.Local().Format(stamp) + " (" + console.Span(c.now.Sub(t)) + " ago)"
}

// placeName is where a message lies, in words.
func placeName(p spooldir.Place) string {
	if p == spooldir.Spool {
		return "the spool"
	}
	return string(p) + "/"
}

// placed is how a message is named beside others: its name, with the place in front if that is not the spool itself.
func placed(p spooldir.Place, name string) string {
	return console.Escape(filepath.Join(string(p), name))
}
