//go:build unix

package main

import (
	"github.com/unbit/spoolgore/internal/shim"
	"github.com/unbit/spoolgore/internal/submission"
)

// smtpStdio is the command that serves "sendmail-spool -bs". It must come before all else: the process may have the
// rights of the setgid sendmail-spool. It returns false if args are of another command.
func smtpStdio(args []string) (code int, ok bool) {
	if len(args) == 0 || args[0] != shim.ServerCommand {
		return 0, false
	}
	return shim.Main(append([]string{"sendmail-spool", "-bs"}, args[1:]...), submission.Serve), true
}
