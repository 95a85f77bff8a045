package logger

import (
	"bytes"
	"io"
	"log/slog"
	"testing"

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
