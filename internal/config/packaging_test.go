package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/conf"
)

// What is installed as /etc/spoolgore.conf sets the spool and nothing else, and shows every key that makes sense there with
// a value that it takes.
func TestTheInstalledConfigurationShowsEveryKey(t *testing.T) {
	is := is.New(t)
	const path = "../../packaging/spoolgore.conf"
	settings, err := conf.Read(path)
	is.NoErr(err)
	is.Equal(len(settings), 1)
	is.Equal(settings[0].Key, "dir")

	c := Config{From: map[string]Setting{}}
	fs := Flags(&c)
	shown := []string{"dir"}
	for _, s := range commentedOut(t, path) {
		is.True(!slices.Contains(shown, s.Key)) // once
		shown = append(shown, s.Key)
		is.NoErr(conf.Check([]conf.Setting{s}, conf.Names()))
		is.NoErr(c.set(fs, Setting{Key: s.Key, Value: s.Value}))
	}
	for _, key := range conf.Names() {
		if elsewhere := key == "once" || key == "json"; slices.Contains(shown, key) == elsewhere { // json: a unit can write to the spool only
			t.Errorf("%s shows %s: %v", path, key, !elsewhere)
		}
	}
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
