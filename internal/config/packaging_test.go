package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/conf"
)

// /etc/spoolgore.conf, as installed, sets the spool only. It shows every key that makes sense there as a comment with a
// valid value.
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
		// json: the unit can write to the spool only
		if elsewhere := key == "once" || key == "json"; slices.Contains(shown, key) == elsewhere {
			t.Errorf("%s shows %s: %v", path, key, !elsewhere)
		}
	}
}

// The units bound memory and rights of the daemon. packaging/test-deb.sh checks the installed units.
func TestUnitsBoundMemoryAndRights(t *testing.T) {
	units, err := filepath.Glob("../../packaging/systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatal(units, err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	for _, unit := range append(units, "../../packaging/systemd/user/spoolgore.service") {
		is := is.New(t)
		text, readErr := os.ReadFile(unit)
		is.NoErr(readErr)
		is.True(strings.Contains(string(text), "\nMemoryHigh="))
		if err != nil || strings.Contains(unit, "/user/") {
			continue
		}
		is.True(strings.Contains(string(text), "\nProtectSystem=strict\n"))
		const threshold = "--threshold=14" // ten times the figure in docs/installing.md
		out, err := exec.Command(analyze, "security", "--offline=yes", "--no-pager", threshold, unit).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// commentedOut returns the settings in the file at path that are comments beginning with # and no space.
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
