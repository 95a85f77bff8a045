// Package shim is the command sendmail-spool. The SMTP server of -bs is in another program, spoolgore, which uses this
// package too: sendmail-spool is started for each message and links neither an SMTP server nor TLS.
package shim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/textline"
)

// Exit codes, those of sysexits.h.
const (
	exitOK         = 0
	exitUsage      = 64 // wrong arguments; no recipients
	exitData       = 65 // wrong message or address
	exitCantCreate = 73 // no access to the spool
	exitIO         = 74 // standard input cannot be read
	exitTempFail   = 75 // the spool cannot take the message now; interrupted
	exitNoPerm     = 77
	exitConfig     = 78 // no spool is configured, or wrongly
)

// ServerCommand is the command of the program spoolgore that serves -bs. Its arguments are those of sendmail-spool.
const ServerCommand = "smtp-stdio"

// serverName is the file name of the program with ServerCommand.
const serverName = "spoolgore"

// An SMTPServer runs an SMTP session that takes messages for an intake.
type SMTPServer func(intake sendmail.Intake, in io.Reader, out io.Writer) error

// Main runs the command with args, of which args[0] is the command's name, and returns the exit code. Before anything
// else it drops the rights that the file of the command gives. Server serves -bs; nil: another program is executed.
func Main(args []string, server SMTPServer) int {
	held, err := dropPrivilege()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sendmail-spool:", err)
		return exitTempFail
	}
	return run(host(held), args, server)
}

// shim is one call of the command.
type shim struct {
	sys            system
	server         SMTPServer // nil: another program serves -bs
	conf           config
	spool          *spooldir.Dir
	in             *os.File
	stdout, stderr io.Writer
	room           *room // for the next message; nil: no limit
	serves         bool  // the messages come by SMTP (-bs)
}

// run is Main with the rights dropped.
func run(sys system, args []string, server SMTPServer) int {
	out := &output{w: os.Stdout}
	s := &shim{sys: sys, server: server, in: os.Stdin, stdout: out, stderr: os.Stderr}
	err := s.do(args)
	if err == nil && out.err != nil {
		err = fail(exitIO, "write standard output: %w", out.err)
	}
	if err != nil {
		s.say(err.Error() + remedy(err, s.spool))
	}
	return exitCode(err)
}

// remedy returns what to do about a spool that this user cannot write to; empty for another error.
func remedy(err error, spool *spooldir.Dir) string {
	switch {
	case spool == nil || exitCode(err) != exitCantCreate:
	case errors.Is(err, fs.ErrNotExist):
		return "; make the directory " + spool.Path() + ", or correct SPOOLGORE_DIR or dir"
	case errors.Is(err, fs.ErrPermission):
		return "; this user may not write to " + spool.Path() + ": correct SPOOLGORE_DIR or dir, or change its owner"
	}
	return ""
}

// output keeps the first error of a writer: a list that was not written must not look like an empty list. EPIPE is no
// error, because an SMTP client may close the session before the last reply.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil && !errors.Is(err, syscall.EPIPE) {
		o.err = err
	}
	return n, err
}

// say writes one line to standard error.
func (s *shim) say(text string) {
	fmt.Fprintf(s.stderr, "sendmail-spool: %s\n", oneLine(text))
}

// oneLine makes text of unknown origin one line of a terminal or a log.
func oneLine(text string) string { return textline.Of(text, 0) }

func (s *shim) do(args []string) error {
	if len(args) == 0 {
		args = []string{"sendmail-spool"}
	}
	c, err := sendmail.Parse(args[0], args[1:])
	if err != nil {
		return err
	}
	if s.sys.elevated && s.sys.uid != 0 {
		c.Priority = min(c.Priority, 0) // no user goes before all others
	}
	if c.Mode == sendmail.SMTP && s.server == nil {
		return s.execServer(args[1:])
	}
	if s.conf, err = s.sys.config(); err != nil {
		return err
	}
	if c.Mode == sendmail.ShowConfig {
		return s.showConfig()
	}
	if c.Mode == sendmail.Aliases {
		return s.checkAliases()
	}
	if s.spool, err = s.conf.spool(); err != nil {
		return err
	}
	switch c.Mode {
	case sendmail.SMTP:
		return s.serveSMTP(c)
	case sendmail.List:
		return s.list(c.JSON)
	case sendmail.Verify:
		return s.verify(c)
	case sendmail.Flush:
		return s.flush()
	}
	return s.submit(c)
}

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// fail returns an error with an exit code.
func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// exitCode returns the exit code for err.
func exitCode(err error) int {
	var own *exitError
	switch {
	case err == nil:
		return exitOK
	case isShortage(err): // before exitConfig: a lack of descriptors is no wrong configuration
		return exitTempFail
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, sendmail.ErrUsage):
		return exitUsage
	case errors.Is(err, sendmail.ErrData), errors.Is(err, sendmail.ErrTooLarge):
		return exitData
	case errors.Is(err, sendmail.ErrInput):
		return exitIO
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR),
		errors.Is(err, syscall.EROFS):
		return exitCantCreate // the administrator has to act
	}
	return exitTempFail // such as a full disk: a later try may succeed
}

// isShortage reports whether the system was short of a resource or an I/O operation failed.
func isShortage(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, syscall.EIO, syscall.ESTALE,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
