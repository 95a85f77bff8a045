package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/config"
)

// Columns at which texts begin.
const (
	commandColumn = 21 // flags of a command
	daemonColumn  = 31 // flags of the daemon
	tableColumn   = 34 // commands
)

func helpCommand() *command {
	return &command{
		name:     "help",
		operands: []string{"[COMMAND | -FLAG | all]"},
		brief:    "print the help of a command, of a flag, or of everything",
		flags:    config.NewFlagSet("help"),
		run:      runHelp,
	}
}

// helpAll is the operand of help for the flags, files, signals and exit codes, too.
const helpAll = "all"

// runHelp is "spoolgore help [COMMAND | -FLAG | all]".
func runHelp(p *Program, args []string) int {
	switch {
	case len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
		return p.PrintHelp()
	case args[0] == helpAll:
		return p.printAll()
	case strings.HasPrefix(args[0], "-"):
		return p.printFlag(strings.TrimLeft(args[0], "-"))
	}
	if c := find(args[0]); c != nil {
		c.writeHelp(p)
		return ExitOK
	}
	text := ""
	if near := conf.Nearest(args[0], commandNames()); near != "" {
		text = ": is it " + near + "?"
	}
	return p.UsageError(fmt.Errorf("there is no command %q%s", args[0], text))
}

// writeHelp writes the help of a command.
func (c *command) writeHelp(p *Program) {
	w, program, before := p.Stdout, p.name(), "usage: "
	if p.Name != "" { // on a queue
		c.flags.Docs = slices.DeleteFunc(c.flags.Docs, func(d config.Doc) bool {
			return d.Flag == "statusfile" || d.Flag == "config"
		})
	}
	for _, operands := range c.operands {
		if p.Name != "" {
			operands = strings.TrimSpace(strings.ReplaceAll(operands, "[DIR]", ""))
		}
		fmt.Fprintf(w, "%s%s %s %s\n", before, program, c.name, operands)
		before = "       "
	}
	about := c.about
	if about == "" {
		about = strings.ToUpper(c.brief[:1]) + c.brief[1:] + "."
	}
	writeText(w, about)
	if len(c.flags.Docs) > 0 {
		fmt.Fprintln(w)
		c.flags.Write(w, commandColumn)
	}
	if c.notes != "" {
		writeText(w, c.notes)
	}
}

// writeText writes the paragraphs of text after an empty line. Lines that begin with a space are written as they are.
func writeText(w io.Writer, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fmt.Fprintln(w)
		var words []string
		flush := func() {
			if len(words) > 0 {
				fmt.Fprintln(w, strings.Join(config.Wrap(strings.Join(words, " "), config.Width), "\n"))
			}
			words = nil
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			if strings.HasPrefix(line, " ") {
				flush()
				fmt.Fprintln(w, line)
				continue
			}
			words = append(words, line)
		}
		flush()
	}
}

// printFlag prints the text about a flag of the daemon.
func (p *Program) printFlag(name string) int {
	flags := config.Flags(new(config.Config))
	doc, ok := flags.LookupDoc(name)
	if !ok {
		text := ""
		if near := conf.Nearest(name, conf.Names()); near != "" {
			text = ": is it -" + near + "?"
		}
		return p.UsageError(fmt.Errorf("there is no flag -%s%s", name, text))
	}
	flags.Docs = []config.Doc{doc}
	flags.Write(p.Stdout, commandColumn)
	return ExitOK
}

// PrintHelp prints the help of the program on one screen of 80 columns.
func (p *Program) PrintHelp() int {
	fmt.Fprint(p.Stdout, shortHead)
	for _, c := range commands() {
		if c.name != "help" && c.name != "completion" {
			fmt.Fprintf(p.Stdout, "  %-10s%s\n", c.name, c.brief)
		}
	}
	fmt.Fprint(p.Stdout, shortTail)
	return ExitOK
}

const shortHead = `Spoolgore sends mail from files in a directory through a relay, with retries.

usage: spoolgore [flags] DIR          the daemon: -smtpaddr HOST:587
       spoolgore COMMAND [DIR] ...    with or without a running daemon

`

const shortTail = `
help COMMAND: its flags. help -FLAG. help all: all flags, signals, exit codes.
`

// printAll prints the commands, the flags of the daemon, and the rest.
func (p *Program) printAll() int {
	fmt.Fprint(p.Stdout, helpHead)
	for _, c := range commands() {
		for i, line := range config.Wrap(c.brief, config.Width-tableColumn) {
			term := ""
			if i == 0 {
				term = c.name + " " + c.shortOperands()
			}
			fmt.Fprintf(p.Stdout, "  %-*s%s\n", tableColumn-2, term, line)
		}
	}
	fmt.Fprintln(p.Stdout)
	config.Flags(new(config.Config)).Write(p.Stdout, daemonColumn)
	fmt.Fprint(p.Stdout, helpTail)
	return ExitOK
}

// shortOperands returns the operands of the first usage line, without the flags.
func (c *command) shortOperands() string {
	if len(c.operands) == 0 {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(c.operands[0], "[flags]", ""))
}

const helpHead = `Spoolgore sends the mail messages found as files in a directory through a mail relay, and retries
until each message is delivered or given up.

usage: spoolgore [flags] [DIR]
       spoolgore COMMAND [flags] [DIR] ...

Commands work on a spool with or without a running daemon. spoolgore help COMMAND describes one.
`

const helpTail = `
TIME is a number of seconds, or has a unit: 10, 500ms, 2h30m, 5d. Defaults are in parentheses. Flags go before DIR.
A directory with the name of a command is ./NAME.

Configuration file, and the environment
  Every flag can stand in the file of -config, as "freq 5m", or in the environment, as SPOOLGORE_FREQ=5m. The command
  line counts more than the environment, and the environment more than the file. A switch alone is on, as with yes; no
  turns it off. In the file DIR is dir, with %u for the user and %h for the home directory. Names of files are
  relative to the directory of the file. A line that begins with # is a comment. In the environment DIR is
  SPOOLGORE_DIR. An empty variable is ignored. /etc/spoolgore.conf, which sendmail-spool reads, is a file for -config,
  too. -printconfig shows the result.

Relays file
  SENDER RELAYS [KEY=VALUE ...]
  SENDER is an address, @DOMAIN, or * for all others (without it: -smtpaddr). The most exact one counts. With to:
  before it, it is a recipient. RELAYS are as for -smtpaddr. The keys are user, password, passwordfile, passwordcmd,
  oauth, token (yes), auth, tls, ca, cert, key, pin, tlsname, sender and from, each as the flag of its name. The flags
  for login and TLS do not count for these relays. "VALUES WITH SPACES" are quoted. Names of files are relative to the
  directory of the relays file. # begins a comment.

Signals
  TERM, INT                    finish transactions (up to 30 seconds), write the status file, end; twice: end at once
  URG, USR1                    scan, and retry all waiting messages now; ends a pause
  TSTP                         write the status file and pause: no scan, no mail
  HUP                          read the configuration, the relays file, certificates and passwords again, also for
                               waiting mail; take over the edited status file and end the pause; if one of them is not
                               valid, change nothing

Exit codes
  0   success, or stopped by a signal            64  wrong usage
  1   a command could not do everything          70  the system failed, or the demo did
  75  try again later: another daemon runs the spool, with -once no relay could be used, with flush no daemon runs
  78  a person has to correct something: no such directory, no access, a status file that cannot be read, a bad relay
      address, a configuration, relays file or certificate that cannot be used
  130, 143  after a second INT or TERM
  The exit codes of check, explain and test are in the help of these commands.
`
