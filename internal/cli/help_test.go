package cli

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func TestHelp(t *testing.T) {
	is := is.New(t)
	said := func(args ...string) string {
		code, out, errs := outputOf("", args...)
		is.Equal(code, ExitOK)
		is.Equal(errs, "")
		for line := range strings.Lines(out) {
			is.True(len(line) <= 121) // lines fit a window of 120 columns
		}
		return out
	}
	short := said("help")
	is.True(strings.Count(short, "\n") <= 24) // a screen of a terminal
	for line := range strings.Lines(short) {
		is.True(len(line) <= 80) // with the line end
	}
	is.Equal(short, said("help", "--help"))
	all := said("help", "all")
	for _, c := range commands() {
		if c.name != "help" && c.name != "completion" {
			is.True(strings.Contains(short, "\n  "+c.name+" "))
		}
		if c.name != "help" {
			text := said("help", c.name)
			is.True(strings.HasPrefix(text, "usage: spoolgore "+c.name+" "))
			is.Equal(text, said(c.name, "-h"))
			if c.flags.Lookup("statusfile") != nil {
				is.Equal(text, said(c.name, "dir", "--help")) // the same wherever --help is
			}
		}
		line := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(strings.TrimSpace(c.name+" "+c.shortOperands())) + ` +\S`)
		is.True(line.MatchString(all)) // the help of all commands has a line with the operands
	}
	config.Flags(new(config.Config)).VisitAll(func(f *flag.Flag) {
		// and a line for every flag of the daemon
		is.True(regexp.MustCompile(`(?m)^  -` + f.Name + `\b`).MatchString(all))
	})
	code, _, errs := outputOf("", "help", "relaese")
	is.Equal(code, ExitUsage)
	is.True(strings.Contains(errs, `there is no command "relaese": is it release?`))
	is.True(strings.HasPrefix(said("help", "-rate"), "  -rate LIST"))
	is.Equal(said("help", "-rate"), said("help", "--rate"))
	code, _, errs = outputOf("", "list", "-jsn", t.TempDir())
	is.Equal(code, ExitUsage)
	is.Equal(errs, "spoolgore: list: there is no flag -jsn: is it -json? (see spoolgore help list)\n")
	_, _, errs = outputOf("", "pin")
	is.True(strings.HasSuffix(errs, "such as mail.example.com:587 (see spoolgore help pin)\n"))
	_, _, errs = outputOf("", "test", "-nosuch", "ann@example.org")
	is.True(strings.HasSuffix(errs, "there is no flag -nosuch (see spoolgore help test)\n"))
	code, _, errs = outputOf("", "help", "-smtpadr")
	is.Equal(code, ExitUsage)
	is.True(strings.Contains(errs, "there is no flag -smtpadr: is it -smtpaddr?"))
}

// Each command accepts every flag in its help text.
func TestDocumentedFlagsAreKnown(t *testing.T) {
	for _, c := range commands() {
		known := c.flags
		if c.daemon {
			known = config.Flags(new(config.Config))
		}
		for _, d := range c.flags.Docs {
			if d.Flag != "" && known.Lookup(d.Flag) == nil && c.flags.Lookup(d.Flag) == nil {
				t.Errorf("%s does not know -%s", c.name, d.Flag)
			}
		}
	}
}

func TestTheDocumentsHaveEveryCommand(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile("../../docs/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	commandsPage, explainPage, man := read("commands.md"), read("explain.md"), read("man/spoolgore.8")
	_, manCommands, _ := strings.Cut(man, ".Sh COMMANDS")
	for _, c := range commands() {
		page, form := commandsPage, `(?m)^## .*\b%s\b`
		switch {
		case c.name == "help" || c.name == "demo":
			continue
		case c.daemon:
			page, form = explainPage, `(?m)^## spoolgore %s$`
		}
		if !regexp.MustCompile(fmt.Sprintf(form, c.name)).MatchString(page) {
			t.Errorf("docs/ has no section about %s", c.name)
		}
		if !regexp.MustCompile(`(?m)^\.It .*Cm ` + c.name + `\b`).MatchString(man) {
			t.Errorf("spoolgore(8) does not have %s", c.name)
		}
		for _, d := range c.flags.Docs {
			if d.Flag != "" && !strings.Contains(page, "-"+d.Flag) {
				t.Errorf("docs/ does not have -%s of %s", d.Flag, c.name)
			}
			if d.Flag != "" && !regexp.MustCompile(`(?m)^\.?(It )?.*Fl `+d.Flag+`\b`).MatchString(manCommands) {
				t.Errorf("spoolgore(8) does not have -%s of %s", d.Flag, c.name)
			}
		}
	}
}

// spoolgore(8) and docs/daemon.md have every signal and exit code, and both manuals of the spool have every file.
func TestTheManPagesHaveFilesSignalsAndExitCodes(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile("../../docs/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	man, daemon, spool := read("man/spoolgore.8"), read("daemon.md"), read("man/spoolgore-spool.5")
	for _, code := range []int{
		ExitOK, ExitNotDone, int(levelCritical), int(levelUnknown), ExitUsage, ExitDataErr, ExitNoInput, ExitUnavailable,
		ExitSoftware, ExitTempFail, ExitConfig, 128 + int(syscall.SIGINT), 128 + int(syscall.SIGTERM),
	} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\.It (130 , )?%d\b`, code)).MatchString(man) {
			t.Errorf("spoolgore(8) does not have the exit status %d", code)
		}
	}
	for _, signal := range []string{"SIGURG", "SIGUSR1", "SIGTSTP", "SIGHUP", "SIGTERM", "SIGINT"} {
		if !regexp.MustCompile(`(?m)^\.It Dv .*` + signal).MatchString(man) {
			t.Errorf("spoolgore(8) does not have %s", signal)
		}
		if !regexp.MustCompile(`(?m)^\| .*` + signal + `.* \|`).MatchString(daemon) {
			t.Errorf("docs/daemon.md does not have %s", signal)
		}
	}
	for _, name := range []string{
		spooldir.StatusFile, spooldir.StatusFile + spooldir.BadStatus, spooldir.JournalFile, spooldir.RateFile,
		spooldir.StateFile, spooldir.LockFile, spooldir.SentFile, spooldir.TmpDir + "/", "hold/", "failed/",
	} {
		for page, text := range map[string]string{"spoolgore(8)": man, "spoolgore-spool(5)": spool} {
			if !regexp.MustCompile(`(?m)^\.It Pa (.* )?` + regexp.QuoteMeta(name) + `(\s|$)`).MatchString(text) {
				t.Errorf("%s does not have %s", page, name)
			}
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	is := is.New(t)
	t.Chdir(t.TempDir())
	for word, near := range map[string]string{"lst": "list", "shwo": "show", "chek": "check", "retyr": "retry"} {
		code, out, errs := outputOf("", word, "-x")
		is.Equal(code, ExitUsage)
		is.Equal(out, "")
		is.True(strings.Contains(errs, fmt.Sprintf("%q is neither a command nor a directory: is it %s?", word, near)))
	}
	is.NoErr(os.Mkdir("lst", 0o700))
	for _, word := range []string{"lst", "./shwo", "/lst", "-lst", "invoices", "spool"} {
		code, _, errs := outputOf("", word)
		// the operand is for the daemon: a directory of that name, a path, a flag, or a word unlike any command
		is.Equal(code, -1)
		is.Equal(errs, "")
	}
}
