package console

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"Grüße 日本 🎉":                 "Grüße 日本 🎉",
		"\x1b[31mred":                `\x1b[31mred`,
		"a\nb\tc\r":                  `a\nb\tc\r`,
		"\u009b31m":                  `\u009b31m`, // the one-character form of ESC [
		"\x7f":                       `\x7f`,
		"fdp\u202e.exe":              `fdp\u202e.exe`,
		"no\u200bbody":               `no\u200bbody`,
		"bad \xff \xc3":              `bad \xff \xc3`,
		"\U000e0041":                 `\U000e0041`,
		"line\u2028line":             `line\u2028line`,
		"\ufffd is a character also": "\ufffd is a character also",
	} {
		t.Run(want, func(t *testing.T) {
			is := is.New(t)
			is.Equal(Escape(text), want)
		})
	}
}

func TestEscapeJSONSaysTheSame(t *testing.T) {
	is := is.New(t)
	text := "Grüße \x1b[31m \x7f \u009b \u202e \u2028 \U000e0041 日本"
	line, err := json.Marshal(text)
	is.NoErr(err)
	escaped := EscapeJSON(line)
	for _, r := range string(escaped) {
		is.True(!hostile(r)) // no character that a terminal interprets
	}
	var back string
	is.NoErr(json.Unmarshal(escaped, &back))
	is.Equal(back, text)
}

func TestFit(t *testing.T) {
	is := is.New(t)
	is.Equal(Columns("a日e\u0301"), 4)
	is.Equal(Cut("abcdef", 6), "abcdef")
	is.Equal(Cut("abcdef", 5), "abcd…")
	is.Equal(Cut("日本語", 4), "日…") // a wide character is not cut
	is.Equal(CutMiddle("20260102T150405.000000000-abcdefgh.eml", 20), "202601…-abcdefgh.eml")
	is.Equal(CutMiddle("short", 20), "short")
	is.Equal(Pad("日", 4, false), "日  ")
	is.Equal(Pad("7", 3, true), "  7")
	is.Equal(Pad("long", 3, true), "long")
}

func TestWords(t *testing.T) {
	is := is.New(t)
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 99 * time.Second: "99s", 100 * time.Second: "1m", 99 * time.Minute: "99m",
		100 * time.Minute: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 2000 * 24 * time.Hour: "5y",
	} {
		is.Equal(Span(d), want)
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.0K", 1536: "1.5K", 10 << 10: "10K", 1 << 20: "1.0M", 1023 << 10: "1.0M", 5 << 40: "5.0T"} {
		is.Equal(Size(n), want)
	}
	is.Equal(Count(1, "message"), "1 message")
	is.Equal(Count(0, "message"), "0 messages")
}

func TestOutputThatIsNoTerminal(t *testing.T) {
	is := is.New(t)
	var b bytes.Buffer
	is.True(!IsTerminal(&b))
	is.Equal(Width(&b), 80)
	is.Equal(Height(&b), 24)
	is.Equal(PainterFor(&b).Paint("x", Red), "x")
	is.Equal(Painter(true).Paint("x", Red), "\x1b[31mx\x1b[0m")
	is.Equal(Painter(true).Paint("x", ""), "x")
}
