//go:build smtpserver

package main

import (
	"github.com/unbit/spoolgore/internal/shim"
	"github.com/unbit/spoolgore/internal/submission"
)

// server serves -bs in this process. The tag smtpserver is for sendmail32 of the packages: where the address space is
// limited, the program spoolgore for amd64 cannot be executed.
var server shim.SMTPServer = submission.Serve
