package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
)

// Exit codes. Those above 63 are of sysexits.h: they tell a supervisor whether another start makes sense.
const (
	ExitOK          = 0
	ExitNotDone     = 1 // a command could not do everything; it has printed why
	ExitUsage       = 64
	ExitDataErr     = 65
	ExitNoInput     = 66
	ExitUnavailable = 69
	ExitSoftware    = 70 // also: a step of the demo failed
	ExitTempFail    = 75
	ExitConfig      = 78
)

// UsageError prints an error of the call, or of the configuration, and returns the exit code.
func (p *Program) UsageError(err error) int {
	if errors.As(err, new(*config.Error)) {
		fmt.Fprintf(p.Stderr, "spoolgore: %s\n", console.EscapeLines(err.Error()))
		return ExitConfig
	}
	text := console.EscapeLines(err.Error())
	fmt.Fprintf(p.Stderr, "spoolgore: %s (see spoolgore help%s)\n", text, topicOf(text))
	return ExitUsage
}

// topicOf returns a blank and the operand of help for an error: the command before the colon, or the first flag of the
// daemon in the text. Empty: there is neither.
func topicOf(text string) string {
	if name, _, ok := strings.Cut(text, ": "); ok && find(name) != nil {
		return " " + name
	}
	flags := config.Flags(new(config.Config))
	for _, word := range strings.Fields(text) {
		word = strings.Trim(word, ",:;?")
		if name, ok := strings.CutPrefix(word, "-"); ok && flags.Lookup(name) != nil {
			return " -" + name
		}
	}
	return ""
}

// CodeOf returns the exit code for an error of Spool.Run or Spool.Drain. Most errors are mistakes in the configuration.
// Another start may help if another daemon runs, if no relay can be used, or if the system is out of something.
func CodeOf(err error) int {
	var relay *spoolgore.DeliveryError
	var errno syscall.Errno
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, spoolgore.ErrRunning), errors.As(err, &relay):
		return ExitTempFail
	case errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) &&
		errno != syscall.ENOTDIR && errno != syscall.EISDIR:
		return ExitSoftware // a full disk, no more descriptors
	}
	return ExitConfig
}

// isClosedPipe reports whether err means that the reader has closed the pipe.
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// A usageErr is a wrong call of a command.
type usageErr string

func (e usageErr) Error() string { return string(e) }

// An exitErr is an error with an exit code of its own.
type exitErr struct {
	code int
	text string
}

func (e exitErr) Error() string { return e.text }
