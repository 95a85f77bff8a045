package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/config"
)

func completionCommand() *command {
	c := &command{
		name:     "completion",
		operands: []string{"SHELL"},
		brief:    "print the script with which bash, zsh or fish complete commands",
		about: `Prints a script that makes bash, zsh or fish complete commands, flags, directories and names of
messages.
In bash:
  eval "$(spoolgore completion bash)"
in zsh, after compinit:
  source <(spoolgore completion zsh)
and in fish:
  spoolgore completion fish | source`,
		flags:  config.NewFlagSet("completion"),
		values: []string{"bash", "zsh", "fish"},
	}
	c.run = func(p *Program, args []string) int {
		scripts := map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
		switch {
		case len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
			c.writeHelp(p)
		case len(args) != 1:
			return p.UsageError(fmt.Errorf("completion: for which shell? bash, zsh or fish"))
		case scripts[args[0]] == "":
			return p.UsageError(fmt.Errorf("completion: there is none for %q, only for bash, zsh and fish", args[0]))
		default:
			fmt.Fprint(p.Stdout, scripts[args[0]])
		}
		return ExitOK
	}
	return c
}

// completeFlag is the hidden flag of the scripts: "spoolgore -complete WORD..." prints the completions of the last
// word.
const completeFlag = "-complete"

// The first line of -complete: the shell adds such names to the completions.
const (
	addNothing     = "words"
	addDirectories = "directories"
	addFiles       = "files"
)

// A candidate is a completion of a word.
type candidate struct{ word, about string }

// complete prints the completions of the last word, a line each: the word, a tab, and what it means.
func (p *Program) complete(words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	for i, w := range words {
		words[i] = unquote(w)
	}
	last := words[len(words)-1]
	add, candidates := completions(words[:len(words)-1], last)
	fmt.Fprintln(p.Stdout, add)
	for _, c := range candidates {
		if strings.HasPrefix(c.word, last) {
			fmt.Fprintf(p.Stdout, "%s\t%s\n", c.word, c.about)
		}
	}
}

// completions returns the candidates for a word after the words before it.
func completions(before []string, word string) (add string, candidates []candidate) {
	if len(before) == 0 {
		if strings.HasPrefix(word, "-") {
			return addNothing, flagCandidates(config.Flags(new(config.Config)))
		}
		return addDirectories, commandCandidates()
	}
	c := find(before[0])
	if c == nil {
		c = &command{flags: config.Flags(new(config.Config))}
		before = append([]string{""}, before...)
	}
	flags := c.allFlags()
	operands, open := splitWords(flags, before[1:])
	switch {
	case open.Flag != "":
		return valueCandidates(open)
	case strings.HasPrefix(word, "-"):
		return addNothing, flagCandidates(flags)
	case c.name == "help":
		return addNothing, commandCandidates()
	case len(c.values) > 0:
		for _, v := range c.values {
			candidates = append(candidates, candidate{v, ""})
		}
		return addNothing, candidates
	case c.name == "explain":
		return addFiles, nil
	case len(c.messages) > 0 && len(operands) > 0:
		return addNothing, c.messageCandidates(operands[0])
	}
	return addDirectories, nil
}

// allFlags returns the flags of a command, with those of the daemon if the command knows them.
func (c *command) allFlags() *config.FlagSet {
	if !c.daemon {
		return c.flags
	}
	all := config.Flags(new(config.Config))
	all.Docs = append(all.Docs, c.flags.Docs...)
	return all
}

// splitWords returns the operands in words, and the flag that waits for its value, if the last word is one.
func splitWords(flags *config.FlagSet, words []string) (operands []string, open config.Doc) {
	for _, w := range words {
		name, _, hasValue := strings.Cut(strings.TrimLeft(w, "-"), "=")
		switch {
		case open.Flag != "":
			open = config.Doc{}
		case !strings.HasPrefix(w, "-"):
			operands = append(operands, w)
		case !hasValue:
			if d, ok := flags.LookupDoc(name); ok && d.Value != "" {
				open = d
			}
		}
	}
	return operands, open
}

func flagCandidates(fs *config.FlagSet) (all []candidate) {
	for _, d := range fs.Docs {
		if d.Flag != "" {
			all = append(all, candidate{"-" + d.Flag, summary(d.Text)})
		}
	}
	return all
}

func commandCandidates() (all []candidate) {
	for _, c := range commands() {
		all = append(all, candidate{c.name, summary(c.brief)})
	}
	return all
}

// summary returns the first part of a help text.
func summary(text string) string {
	for _, end := range []string{";", ":", " ("} {
		text, _, _ = strings.Cut(text, end)
	}
	return text
}

// valueCandidates returns the values of a flag.
func valueCandidates(d config.Doc) (add string, all []candidate) {
	words := map[string]string{
		"state":   "new waiting sending deferred scheduled unusable temporary held failed",
		"smtptls": "auto starttls tls none",
	}[d.Flag]
	if words == "" {
		return addFiles, nil
	}
	for _, w := range strings.Fields(words) {
		all = append(all, candidate{w, ""})
	}
	return addNothing, all
}

// messageCandidates returns the names of the messages in a spool that a command may be for.
func (c *command) messageCandidates(dir string) (all []candidate) {
	for _, filter := range c.messages {
		var out bytes.Buffer
		args := append(strings.Fields(filter), "-names", "--", dir)
		find("list").run(&Program{Stdout: &out, Stderr: io.Discard}, args)
		for line := range strings.Lines(out.String()) {
			all = append(all, candidate{strings.TrimSuffix(line, "\n"), ""})
		}
	}
	return all
}

// unquote removes the quotes of a shell from a word, and replaces ~.
func unquote(word string) string {
	if rest, ok := strings.CutPrefix(word, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			word = filepath.Join(home, rest)
		}
	}
	var b strings.Builder
	quote := rune(0)
	escaped := false
	for _, r := range word {
		switch {
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Names of messages are never given to compgen -W, which would run a name like $(reboot).
const bashScript = `# bash completion for spoolgore
_spoolgore() {
  local cur=${COMP_WORDS[COMP_CWORD]} add word about
  COMPREPLY=()
  {
    read -r add
    while IFS=$'\t' read -r word about; do COMPREPLY+=("$word"); done
  } < <("${COMP_WORDS[0]}" -complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  case $add in
    directories) add=-d ;;
    files) add=-f ;;
    *) return ;;
  esac
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen $add -- "$cur")
}
complete -o filenames -o bashdefault -F _spoolgore spoolgore
`

const zshScript = `#compdef spoolgore
# zsh completion for spoolgore
_spoolgore() {
  local -a lines found # not words, which zsh sets
  local line
  lines=("${(@f)$($words[1] -complete ${words[2,CURRENT]} 2>/dev/null)}")
  for line in $lines[2,-1]; do
    found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  _describe -o completion found
  case $lines[1] in
    directories) _files -/ ;;
    files) _files ;;
  esac
}
# In a directory of fpath the file is the function, and its first call has to complete, too.
if [[ $funcstack[1] == _spoolgore ]]; then
  _spoolgore "$@"
else
  compdef _spoolgore spoolgore
fi
`

const fishScript = `# fish completion for spoolgore
function __spoolgore_complete
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  set -l lines (spoolgore -complete $words 2>/dev/null)
  switch "$lines[1]"
    case directories
      __fish_complete_directories (commandline -ct)
    case files
      __fish_complete_path (commandline -ct)
  end
  test (count $lines) -gt 1; and printf '%s\n' $lines[2..-1]
end
complete -c spoolgore -f -a '(__spoolgore_complete)'
`
