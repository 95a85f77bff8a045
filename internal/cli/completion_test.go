package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// ownHelp are the commands that say with -h what they do.
var ownHelp = []string{"list", "show", "hold", "release", "delete", "retry", "flush", "stats", "check"}

func TestHelpOfCommands(t *testing.T) {
	is := is.New(t)
	said := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		is.Equal(runCommand(args, strings.NewReader(""), &stdout, &stderr), 0)
		is.Equal(stderr.String(), "")
		for line := range strings.Lines(stdout.String()) {
			is.True(len(line) <= 121) // lines fit a window of 120 columns
		}
		return stdout.String()
	}
	is.Equal(said("help"), help)
	for _, name := range ownHelp {
		text := said("help", name)
		is.True(strings.HasPrefix(text, "usage: spoolgore "+name+" "))
		is.Equal(text, said(name, "-h"))
		is.Equal(text, said(name, "dir", "--help"))                                // anywhere
		is.True(regexp.MustCompile(`(?m)^  .*\b` + name + `\b`).MatchString(help)) // the help of all has it too
	}
	is.Equal(said("help", "completion"), completionHelp)
	var stdout, stderr bytes.Buffer
	is.Equal(runCommand([]string{"help", "relaese"}, nil, &stdout, &stderr), 64)
	is.True(strings.Contains(stderr.String(), `there is no command "relaese": is it release?`))
}

// The flags that completion offers are read from the help texts: each must be one that the command knows.
func TestDocumentedFlagsAreKnown(t *testing.T) {
	values := map[string]string{"LIST": "held", "AGE": "5m", "PATTERN": "a@x.org", "TEXT": "x", "PATH": "/x", "N": "3"}
	for _, name := range ownHelp {
		flags := flagsOf(name)
		if len(flags) == 0 && name != "flush" {
			t.Errorf("%s has no flags", name)
		}
		for _, f := range flags {
			args := []string{name, "-" + f.name}
			if f.value != "" {
				args = append(args, values[f.value])
			}
			var stdout, stderr bytes.Buffer
			runCommand(args, strings.NewReader(""), &stdout, &stderr)
			if said := stdout.String() + stderr.String(); !strings.Contains(said, "which directory") {
				t.Errorf("%q: %s", args, said)
			}
		}
	}
}

func TestTheDocumentsHaveEveryCommand(t *testing.T) {
	ofSpool := append([]string{"completion"}, ownHelp...)
	for path, row := range map[string]struct {
		form  string
		names []string
	}{
		"../../docs/commands.md":     {`(?m)^## .*\b%s\b`, ofSpool},
		"../../docs/explain.md":      {`(?m)^## spoolgore %s$`, []string{"explain", "test"}},
		"../../docs/man/spoolgore.8": {`(?m)^\.It .*Cm %s\b`, append([]string{"explain", "test"}, ofSpool...)},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range row.names {
			if !regexp.MustCompile(fmt.Sprintf(row.form, name)).Match(text) {
				t.Errorf("%s does not have %s", path, name)
			}
		}
	}
}

// scripts are those for the shells.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var stdout, stderr bytes.Buffer
		if code := runCommand([]string{"completion", shell}, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("%s: %d %s", shell, code, stderr.String())
		}
		all[shell] = stdout.String()
	}
	return all
}

func TestCompletionKnowsAll(t *testing.T) {
	for shell, script := range scripts(t) {
		for _, name := range commandNames() {
			if !strings.Contains(script, name) {
				t.Errorf("%s does not know %s", shell, name)
			}
		}
		for _, f := range slices.Concat(flagsOf(""), flagsOf("list"), flagsOf("check")) {
			if !regexp.MustCompile(`(-|-o )` + f.name + `\b`).MatchString(script) {
				t.Errorf("%s does not know -%s", shell, f.name)
			}
		}
	}
	is := is.New(t)
	var stdout, stderr bytes.Buffer
	is.Equal(runCommand([]string{"completion", "tcsh"}, nil, &stdout, &stderr), 64)
	is.Equal(runCommand([]string{"completion"}, nil, &stdout, &stderr), 64)
}

// TestCompletionInBash asks bash what it would offer. The command list is replaced by one that shows how it was called.
func TestCompletionInBash(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	script := scripts(t)["bash"] + `
cd ` + dir + ` && mkdir -p spool other && touch afile
fake() { [[ $3 == -failed ]] && echo failed/f.eml || echo "one.eml
two words.eml
\$(touch pwned).eml"; }
offer() { COMP_WORDS=(fake "$@"); COMP_CWORD=$#; _spoolgore; (IFS=,; echo "${COMPREPLY[*]}"); }
offer rel
offer s
offer list -st
offer list -state hel
offer show ""
offer show spool ""
offer show -statusfile afile spool t
offer hold spool -o
offer -smtptls st
offer -freq 5 o
offer completion z
offer help ret
`
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	t.Log(string(out))
	is.NoErr(err)
	offers := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for i, offer := range offers { // names of files come in the order that the file system has
		names := strings.Split(offer, ",")
		slices.Sort(names)
		offers[i] = strings.Join(names, ",")
	}
	is.Equal(offers, []string{
		"release", "show,spool,stats", "-state,-statusfile", "held", "other,spool", "$(touch pwned).eml,failed/f.eml,one.eml,two words.eml", "two words.eml",
		"-older", "starttls", "other", "zsh", "retry",
	})
	left, err := filepath.Glob(filepath.Join(dir, "pwned*"))
	is.NoErr(err)
	is.Equal(len(left), 0) // no name of a file is obeyed
}
