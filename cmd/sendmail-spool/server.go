//go:build !smtpserver

package main

import "github.com/unbit/spoolgore/internal/shim"

// server serves -bs. Nil: the program spoolgore is executed.
var server shim.SMTPServer
