//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// completed returns the output of -complete for the words: the first line, and the candidates without their
// descriptions.
func completed(t *testing.T, words ...string) (add string, candidates []string) {
	t.Helper()
	code, out, errs := outputOf("", append([]string{completeFlag}, words...)...)
	if code != ExitOK || errs != "" {
		t.Fatalf("%q: %d %s", words, code, errs)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for _, line := range lines[1:] {
		word, _, _ := strings.Cut(line, "\t")
		candidates = append(candidates, word)
	}
	return lines[0], candidates
}

// completionSpool makes a spool with odd names and returns its directory.
func completionSpool(t *testing.T) string {
	t.Helper()
	is := is.New(t)
	dir := t.TempDir()
	for _, d := range []string{"failed", "hold", "tmp"} {
		is.NoErr(os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	for _, name := range []string{"one.eml", "two words.eml", "$(touch pwned).eml", "failed/f.eml", "hold/h.eml"} {
		is.NoErr(os.WriteFile(filepath.Join(dir, name), []byte("From: a@x.org\nTo: b@x.org\n\n"), 0o600))
	}
	return dir
}

func TestComplete(t *testing.T) {
	spool := completionSpool(t)
	for line, want := range map[string]string{
		"rel":                      "directories release",
		"-smtppi":                  "words -smtppin",
		"list -st":                 "words -state -statusfile",
		"list -state hel":          "words held",
		"list -state te":           "words temporary",
		"list -state=x -st":        "words -state -statusfile",
		"list -statusfile ":        "files",
		"show ":                    "directories",
		"show SPOOL t":             "words two words.eml",
		"show SPOOL f":             "words failed/f.eml",
		"show -raw SPOOL o":        "words one.eml",
		"show -statusfile f ":      "directories",
		"release SPOOL ":           "words hold/h.eml",
		"hold SPOOL -o":            "words -older",
		"-smtptls st":              "words starttls",
		"-freq 5 o":                "directories",
		"completion z":             "words zsh",
		"help ret":                 "words retry",
		"explain ":                 "files",
		"explain -smtpus":          "words -smtpuser",
		"explain -pro":             "words -probe",
		"test a@example.org ":      "directories",
		"no-such-directory -freq ": "files",
	} {
		t.Run(line, func(t *testing.T) {
			is := is.New(t)
			words := strings.Split(strings.ReplaceAll(line, "SPOOL", spool), " ")
			add, candidates := completed(t, words...)
			is.Equal(strings.TrimSpace(add+" "+strings.Join(candidates, " ")), want)
		})
	}
}

func TestCompleteHasAllCommandsAndFlags(t *testing.T) {
	is := is.New(t)
	_, names := completed(t, "")
	is.Equal(names, commandNames())
	for _, c := range commands() {
		_, flags := completed(t, c.name, "-")
		for _, d := range c.flags.Docs {
			is.True(d.Flag == "" || slices.Contains(flags, "-"+d.Flag)) // each flag in the help is a candidate
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for word, want := range map[string]string{
		"a": "a", `a\ b`: "a b", `'a b'`: "a b", `"a b`: "a b", `'a\b'`: `a\b`, "~/x": "/home/ann/x", `a'b "c'"d"`: `ab "cd`,
	} {
		is := is.New(t)
		is.Equal(unquote(word), want)
	}
}

func TestCompletionOfUnknownShell(t *testing.T) {
	is := is.New(t)
	code, _, _ := outputOf("", "completion", "tcsh")
	is.Equal(code, ExitUsage)
	code, _, _ = outputOf("", "completion")
	is.Equal(code, ExitUsage)
}

// inShell runs a script in a shell that knows the completion. The command is called fake.
func inShell(t *testing.T, shell, script string) []string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skip(err)
	}
	_, completion, _ := outputOf("", "completion", shell)
	if shell == "zsh" {
		completion = "compdef() { :; }\n" + completion // of compinit
	}
	cmd := exec.Command(shell, "-c", strings.ReplaceAll(completion, "(spoolgore ", "(fake ")+script)
	cmd.Dir = completionSpool(t)
	cmd.Env = append(os.Environ(), asCommand+"=1", "SELF="+os.Args[0])
	out, err := cmd.CombinedOutput()
	t.Log(string(out))
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(cmd.Dir, "pwned*"))
	if err != nil || len(left) > 0 {
		t.Fatal("the name of a message was run as a command")
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestCompletionInBash(t *testing.T) {
	is := is.New(t)
	lines := inShell(t, "bash", `
fake() { "$SELF" "$@"; }
offer() { COMP_WORDS=(fake "$@"); COMP_CWORD=$#; _spoolgore; printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd,; }
offer rel
offer fa
offer list -st
offer show ""
offer show . ""
offer show . t
offer list -statusfile on
mkdir "a spool"
offer list a
`)
	is.Equal(lines, []string{
		"release", "failed", "-state,-statusfile", "failed,hold,tmp", "$(touch pwned).eml,failed/f.eml,hold/h.eml,one.eml,two words.eml",
		"two words.eml", "one.eml", "a spool",
	})
}

func TestCompletionInFish(t *testing.T) {
	is := is.New(t)
	lines := inShell(t, "fish", `
function fake; $SELF $argv; end
complete -C 'spoolgore rel'
complete -C 'spoolgore show . t'
`)
	is.True(strings.HasPrefix(lines[0], "release\t"))
	is.True(strings.HasPrefix(lines[1], `two\ words.eml`) || strings.HasPrefix(lines[1], "two words.eml"))
}

func TestCompletionInZsh(t *testing.T) {
	is := is.New(t)
	lines := inShell(t, "zsh", `
fake() { "$SELF" "$@"; }
_describe() { print -rl -- ${(P)@[-1]}; }
_files() { print -r -- files "$@"; }
words=(fake rel); CURRENT=2; _spoolgore
words=(fake show . t); CURRENT=4; _spoolgore
words=(fake show ''); CURRENT=3; _spoolgore
`)
	is.True(strings.HasPrefix(lines[0], "release:"))
	is.True(slices.Contains(lines, "two words.eml:"))
	is.True(slices.Contains(lines, "files -/"))
}

// The packages install the script of zsh as the function itself: the first call of a shell completes, too.
func TestFirstCompletionOfAnInstalledScript(t *testing.T) {
	is := is.New(t)
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	_, script, _ := outputOf("", "completion", "zsh")
	is.NoErr(os.WriteFile(filepath.Join(dir, "_spoolgore"), []byte(script), 0o600))
	cmd := exec.Command("zsh", "-fc", `
fpath=("$1"); autoload -Uz _spoolgore
fake() { "$SELF" "$@"; }; compdef() { :; }; _files() { :; }; _describe() { print described; }
words=(fake rel); CURRENT=2; _spoolgore
`, "zsh", dir)
	cmd.Env = append(os.Environ(), asCommand+"=1", "SELF="+os.Args[0])
	out, err := cmd.CombinedOutput()
	is.NoErr(err)
	is.Equal(string(out), "described\n")
}
