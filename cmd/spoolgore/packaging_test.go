package main

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/conf"
)

// What is installed as /etc/spoolgore.conf sets nothing, and shows every flag that makes sense there under its name, with
// a value that it takes.
func TestTheInstalledConfigurationShowsEveryFlag(t *testing.T) {
	is := is.New(t)
	const path = "../../packaging/spoolgore.conf"
	settings, err := conf.Read(path)
	is.NoErr(err)
	is.Equal(len(settings), 0)
	var c config
	fs := flags(&c)
	ofCommand := []string{"domain", "aliases", "maxsize", "userfiles", "usersize"}
	shown := map[string]bool{}
	for _, s := range commentedOut(t, path) {
		is.True(!shown[s.Key]) // once
		shown[s.Key] = true
		if !slices.Contains(ofCommand, s.Key) {
			is.NoErr(fs.Set(s.Key, s.Value)) // a flag, and a value that it takes
		}
	}
	notThere := []string{"once", "version", "config", "printconfig", "json"} // json: the status stays in the one spool
	fs.VisitAll(func(f *flag.Flag) {
		if shown[f.Name] == slices.Contains(notThere, f.Name) {
			t.Errorf("-%s: shown: %v", f.Name, shown[f.Name])
		}
	})
}

// commentedOut are the settings in the file at path that stand right behind a #.
func commentedOut(t *testing.T, path string) []conf.Setting {
	t.Helper()
	is := is.New(t)
	text, err := os.ReadFile(path)
	is.NoErr(err)
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && strings.TrimSpace(rest) != "" && rest[0] != ' ' {
			lines.WriteString(rest)
		}
	}
	settings, err := conf.Parse(strings.NewReader(lines.String()))
	is.NoErr(err)
	return settings
}
