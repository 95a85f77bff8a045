package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/config"
)

// Exit codes, where there is one those of sysexits.h: a supervisor can tell what to start again and what to leave.
const (
	ExitOK          = 0
	ExitUsage       = 64
	ExitDataErr     = 65
	ExitNoInput     = 66
	ExitUnavailable = 69
	ExitSoftware    = 70 // also: a step of the demo did not go as told
	ExitTempFail    = 75
	ExitConfig      = 78
)

// UsageError says what is wrong with the call, or with the configuration, and returns the exit code for it.
func (p *Program) UsageError(err error) int {
	if errors.As(err, new(*config.Error)) {
		fmt.Fprintf(p.Stderr, "spoolgore: %v\n", err)
		return ExitConfig
	}
	fmt.Fprintf(p.Stderr, "spoolgore: %v (see spoolgore -help)\n", err)
	return ExitUsage
}

// CodeOf is what an error of Run or Drain means to who started the command. Both fail before they begin, over what
// they were given, but for two cases: another daemon or the relay is in the way, or the system lacks something.
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
		return ExitSoftware // a full disk, no more descriptors: another start may go better
	}
	return ExitConfig
}
