//go:build unix

package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestTheJournalGetsLevels(t *testing.T) {
	is := is.New(t)
	var b bytes.Buffer
	log := slog.New(forJournal(&b, func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: timeless})
	}))
	log.Debug("d")
	log.With("a", 1).Info("i", "time", "mine")
	log.WithGroup("g").Warn("w", "time", "2\n<0>evil")
	log.Error("e")
	log.Log(t.Context(), slog.LevelError+4, "worse")
	is.Equal(b.String(), "<7>level=DEBUG msg=d\n<6>level=INFO msg=i a=1 time=mine\n"+
		"<4>level=WARN msg=w g.time=\"2\\n<0>evil\"\n<3>level=ERROR msg=e\n<3>level=ERROR+4 msg=worse\n")
}

// TestUnderSystemd gives the daemon a file for its log that the environment calls the journal, and one that it does not.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	for name, journal := range map[string]bool{"the journal": true, "another file": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			f, err := os.Create(filepath.Join(t.TempDir(), "log"))
			is.NoErr(err)
			defer f.Close()
			stream := "1:2"
			if journal {
				stream = streamOf(f)
			}
			cmd := exec.Command(os.Args[0], "-once", t.TempDir())
			cmd.Env, cmd.Stderr = append(os.Environ(), asCommand+"=1", "JOURNAL_STREAM="+stream), f
			is.NoErr(cmd.Run())
			text, err := os.ReadFile(f.Name())
			is.NoErr(err)
			is.Equal(strings.HasPrefix(string(text), "<6>level=INFO msg=started "), journal)
			is.Equal(strings.HasPrefix(string(text), "time="), !journal)
		})
	}
}
