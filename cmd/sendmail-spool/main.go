// Command sendmail-spool takes mail from programs that call sendmail and puts the mail into a Spoolgore spool. The
// command ends when the message is safe on disk; no daemon needs to run. Under the names mailq and newaliases the
// command does the work of those commands.
package main

import (
	"os"

	"github.com/unbit/spoolgore/internal/shim"
)

func main() { os.Exit(shim.Main(os.Args, server)) }
