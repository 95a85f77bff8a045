package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/config"
)

// shellBlocks returns the blocks of commands in the documents by file and line.
func shellBlocks(t *testing.T) map[string]string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := make(map[string]string)
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../bench/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var block strings.Builder
		began := 0
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case began == 0 && strings.TrimSpace(line) == "```sh":
				began = i + 1
			case began > 0 && strings.TrimSpace(line) == "```":
				blocks[fmt.Sprintf("%s:%d", filepath.Base(page), began)] = block.String()
				began = 0
				block.Reset()
			case began > 0:
				block.WriteString(line + "\n")
			}
		}
	}
	return blocks
}

// The shell can parse every block of commands in the documents.
func TestShellBlocksOfTheDocumentsAreShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash: ", err)
	}
	blocks := shellBlocks(t)
	is.New(t).True(len(blocks) > 20)
	for where, block := range blocks {
		cmd := exec.Command(bash, "-n")
		cmd.Stdin = strings.NewReader(placeholder.ReplaceAllString(block, "x"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", where, err, out)
		}
	}
}

// placeholder matches a word such as <name>, and "...".
var placeholder = regexp.MustCompile(`<[a-z ]+>|\.\.\.$`)

// aCall matches a call of spoolgore in a line: at the start, after a pipe or after another command.
var aCall = regexp.MustCompile(`(?:^|[|;&(]\s*|sudo (?:-u \S+ )?|doas )spoolgore((?: [^|;&>#)]*)?)`)

// Every command and every flag of spoolgore in a block of commands exists.
func TestCallsInTheDocumentsAreKnown(t *testing.T) {
	calls := 0
	for where, block := range shellBlocks(t) {
		for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
			for _, m := range aCall.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
				calls++
				if err := checkCall(strings.Fields(quoted.ReplaceAllString(m[1], "x"))); err != nil {
					t.Errorf("%s: %s: %v", where, strings.TrimSpace(line), err)
				}
			}
		}
	}
	is.New(t).True(calls > 20)
}

var quoted = regexp.MustCompile(`'[^']*'|"[^"]*"`)

// checkCall returns an error if the words of a call name an unknown command or flag.
func checkCall(words []string) error {
	known, given := config.Flags(new(config.Config)), words
	if len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		if c := find(words[0]); c != nil {
			known, given = c.allFlags(), words[1:]
		} else if near := misspelled(words[0]); near != "" {
			return fmt.Errorf("no command %s", words[0])
		}
	}
	for _, word := range given {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !strings.HasPrefix(word, "-") || name == "" || name == "help" || name == "h" {
			continue
		}
		if _, ok := known.LookupDoc(name); !ok && known.Lookup(name) == nil {
			return fmt.Errorf("no flag -%s", name)
		}
	}
	return nil
}
