package spoolgore

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/known"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// version1 is testdata/version1/spool.json; its README.md describes the fields.
type version1 struct {
	Killed   int64
	Accepted []string
	Files    []struct {
		Path, Text, Link string
		Mode             os.FileMode
		Modified         int64
	}
}

var (
	inodeMark = regexp.MustCompile(`\{\{INODE ([^}]+)\}\}`)
	timeMark  = regexp.MustCompile(`[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z`)
)

// layOut makes the spool in dir as the killed daemon left it, with times as if the daemon had been killed a minute ago.
func layOut(t *testing.T, dir string) (v version1) {
	t.Helper()
	text, err := os.ReadFile("testdata/version1/spool.json")
	check(t, err)
	check(t, json.Unmarshal(text, &v))
	moved := time.Since(time.Unix(0, v.Killed)) - time.Minute
	inodes := map[string]uint64{}
	for _, f := range v.Files {
		path := filepath.Join(dir, f.Path)
		check(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if f.Link != "" {
			check(t, os.Link(filepath.Join(dir, f.Link), path))
			continue
		}
		check(t, os.WriteFile(path, []byte(f.Text), f.Mode))
		info, err := os.Lstat(path)
		check(t, err)
		inodes[f.Path] = inodeOf(info)
	}
	for _, f := range v.Files {
		path, own := filepath.Join(dir, f.Path), strings.HasPrefix(filepath.Base(f.Path), ".spoolgore")
		modified := time.Unix(0, f.Modified).Add(moved)
		if own || strings.HasSuffix(f.Path, ".json") {
			text := strings.ReplaceAll(f.Text, "{{DIR}}", dir)
			text = inodeMark.ReplaceAllStringFunc(text, func(mark string) string {
				return fmt.Sprint(inodes[inodeMark.FindStringSubmatch(mark)[1]])
			})
			text = timeMark.ReplaceAllStringFunc(text, func(mark string) string {
				at, err := time.Parse(time.RFC3339Nano, mark)
				check(t, err)
				return at.Add(moved).Format(time.RFC3339Nano)
			})
			if f.Path == spooldir.JournalFile {
				text = withChecksums(text)
			}
			check(t, os.WriteFile(path, []byte(text), f.Mode))
		}
		marks := []string{"{{INODE}}", fmt.Sprint(inodes[f.Path]), "{{MTIME}}", fmt.Sprint(modified.UnixNano())}
		name := strings.NewReplacer(marks...).Replace(path)
		check(t, os.Rename(path, name))
		check(t, os.Chtimes(name, modified, modified))
	}
	return v
}

// withChecksums replaces the checksum at the beginning of each line of a journal.
func withChecksums(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		record := strings.TrimSuffix(line[9:], "\n")
		fmt.Fprintf(&b, "%08x %s\n", crc32.Checksum([]byte(record), crc32.MakeTable(crc32.Castagnoli)), record)
	}
	return b.String()
}

// Recipients by the expected outcome in version 1. A recipient of a report may get two, if version 1 was making the
// report when it was killed.
var (
	version1Waiting = []string{
		"done@partly", "later@partly", "done@nameless", "later@nameless", "done@put", "later@put",
		"later@deferred", "later2@deferred",
		"done@journal", "later@journal", "done@journal-nameless", "later@journal-nameless",
		"done@journal-put", "later@journal-put",
		"hang@flying", "later@flying", "hang@flying-too", "later@flying-too", "done@fresh", "done@sent",
	}
	version1Held   = []string{"done@held", "later@held", "done@held-new"}
	version1Failed = []string{"failed-partly", "failed-whole", "journal-failed"}
)

// refuseRefused refuses recipients whose local part begins with refused.
func refuseRefused(_, to string, _ int) error {
	if strings.HasPrefix(to, "refused@") {
		return refused()
	}
	return nil
}

// total returns the number of acceptances of a recipient by both versions.
func (v version1) total(relay *ledger, to string) int {
	before := 0
	for _, a := range v.Accepted {
		if a == to {
			before++
		}
	}
	return before + relay.accepted("", to)
}

func TestVersion1SpoolIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.NewRelaxed(t)
		dir, relay := t.TempDir(), &ledger{answer: refuseRefused}
		v := layOut(t, dir)
		for range 2 { // a second start changes nothing
			_, stop := begin(t, dir, Options{Transport: relay})
			pass(3 * time.Hour)
			stop()
		}
		once := func(to string) {
			if n := v.total(relay, to); n != 1 {
				t.Errorf("%s has got the message %d times, want once", to, n)
			}
		}
		for _, to := range version1Waiting {
			once(to)
		}
		is.Equal(relay.tries("", "later@held"), 0) // a held message stays held
		is.Equal(relay.tries("", "done@held"), 0)
		is.Equal(relay.tries("", "done@held-new"), 0)
		is.Equal(ls(t, dir, "hold"), []string{"held", "held-new"})
		is.Equal(relay.tries("", "done@half"), 0) // a Put of version 1 that was not finished leaves no message
		failed := ls(t, dir, "failed")
		for _, name := range version1Failed {
			// a failed message stays in failed/ with its why-file
			is.True(slices.Contains(failed, name) && slices.Contains(failed, name+".json"))
			is.Equal(relay.tries("", "refused@"+name), 0) // no attempt for it
			once("sender@" + name)
		}
		for i := range 6 {
			name := fmt.Sprint("refused", i)
			is.True(slices.Contains(failed, name) && slices.Contains(failed, name+".json"))
			is.True(relay.tries("", "refused@"+name) <= 1)
			reports := v.total(relay, "sender@"+name)
			is.True(reports == 1 || reports == 2) // at least one report
		}
		left, err := New(dir, Options{}).dir.Names("")
		is.NoErr(err)
		is.Equal(len(left), 0) // the spool has no message
		// no file in tmp/ is being removed
		is.True(!slices.ContainsFunc(ls(t, dir, "tmp"), isSent))
		is.True(!slices.ContainsFunc(failed, func(n string) bool { return n[0] == '.' })) // nor is a report pending
	})
}

// isSent reports whether a name in tmp/ is that of a file that is being removed.
func isSent(name string) bool { return strings.HasPrefix(name, ".sent-") }

// movedBack opens the spool with the present version, moves the given names back from failed/, and releases held
// messages. It returns the recipients that have not got their message exactly once.
func movedBack(t *testing.T, running bool, names ...string) (wrong []string) {
	synctest.Test(t, func(t *testing.T) {
		dir, relay := t.TempDir(), &ledger{}
		v := layOut(t, dir)
		move := func() {
			for _, name := range names {
				shift(t, filepath.Join(dir, "failed"), dir, name)
			}
			for _, name := range []string{"held", "held-new"} {
				shift(t, filepath.Join(dir, "hold"), dir, name)
			}
		}
		if !running {
			move()
		}
		_, stop := begin(t, dir, Options{Transport: relay})
		if running {
			pass(time.Minute)
			move()
		}
		pass(3 * time.Hour)
		stop()
		all := append(slices.Clone(version1Waiting), version1Held...)
		for _, name := range names {
			all = append(all, "refused@"+name, "sender@"+name)
			if name != "failed-whole" {
				all = append(all, "done@"+name)
			}
		}
		for _, to := range all {
			if n := v.total(relay, to); n != 1 {
				wrong = append(wrong, fmt.Sprintf("%s %d times", to, n))
			}
		}
	})
	return wrong
}

func TestVersion1SpoolMovedBackWhileRunning(t *testing.T) {
	t.Parallel()
	is.New(t).Equal(movedBack(t, true, version1Failed...), nil) // every recipient gets its message once
}

func TestVersion1SpoolMovedBackBeforeStart(t *testing.T) {
	t.Parallel()
	is.New(t).Equal(movedBack(t, false, "failed-partly", "failed-whole"), nil) // every recipient gets its message once
}

func TestVersion1SpoolMovedBackBeforeJournalIsRead(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F1/version-1", func(t *testing.T) error {
		if wrong := movedBack(t, false, "journal-failed"); wrong != nil {
			return fmt.Errorf("not once: %s", strings.Join(wrong, ", "))
		}
		return nil
	})
}
