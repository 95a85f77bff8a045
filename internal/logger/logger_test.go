package logger

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"unicode"

	"github.com/matryer/is"
)

func TestTheJournalGetsLevels(t *testing.T) {
	is := is.New(t)
	var b bytes.Buffer
	log := slog.New(forJournal(&b, func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime})
	}))
	log.Debug("d")
	log.With("a", 1).Info("i", "time", "mine")
	log.WithGroup("g").Warn("w", "time", "2\n<0>evil")
	log.Error("e")
	log.Log(t.Context(), slog.LevelError+4, "worse")
	is.Equal(b.String(), "<7>level=DEBUG msg=d\n<6>level=INFO msg=i a=1 time=mine\n"+
		"<4>level=WARN msg=w g.time=\"2\\n<0>evil\"\n<3>level=ERROR msg=e\n<3>level=ERROR+4 msg=worse\n")
}

// A local user chooses the name of a file. No control character of the name reaches a terminal that shows the log.
func TestLogHasNoControlCharacters(t *testing.T) {
	const name = "a\x7fb\u009b31m\u202egpj\u2066\u061c\x1b]0;x\a é 日\xff.eml"
	for _, asJSON := range []bool{false, true} {
		is := is.New(t)
		var b bytes.Buffer
		log := New(&b, slog.LevelInfo, asJSON)
		log.Info("queued", "file", name)
		log.Info("queued", "file", "\x7f") // slog does not quote this text
		log.Info("queued", "file", "é")
		for _, r := range b.String() {
			is.True(r == '\n' || unicode.IsGraphic(r) || r == '\ufffd')
			is.True(!unicode.Is(unicode.Bidi_Control, r))
		}
		is.Equal(bytes.Count(b.Bytes(), []byte("\n")), 3)
		is.True(strings.Contains(b.String(), "é 日"))
		if asJSON {
			var record struct{ File string }
			is.NoErr(json.NewDecoder(&b).Decode(&record))
			is.Equal(record.File, strings.ToValidUTF8(name, "\ufffd")) // a program that reads JSON gets the name itself
		} else {
			is.True(strings.Contains(b.String(), `file=\x7f`))
		}
	}
}
