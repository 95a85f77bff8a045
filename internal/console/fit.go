package console

import (
	"strings"
	"unicode"
)

// wide has the characters of two columns, of the scripts and pictures that mail has (Unicode, annex 11).
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x2e80, Hi: 0x303e, Stride: 1}, {Lo: 0x3041, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}, {Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1f300, Hi: 0x1f64f, Stride: 1}, {Lo: 0x1f900, Hi: 0x1f9ff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1}},
}

// columns is how many columns r takes.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// Columns returns the number of columns that escaped, uncoloured text takes.
func Columns(text string) (n int) {
	for _, r := range text {
		n += columns(r)
	}
	return n
}

// Cut returns text in at most n columns. Longer text ends in an ellipsis.
func Cut(text string, n int) string {
	if Columns(text) <= n {
		return text
	}
	return head(text, n-1) + "…"
}

// CutMiddle returns text in at most n columns. Longer text has an ellipsis in the middle.
func CutMiddle(text string, n int) string {
	if Columns(text) <= n {
		return text
	}
	first := (n - 1) / 3
	return head(text, first) + "…" + tail(text, n-1-first)
}

// head returns as much of the beginning of text as n columns hold.
func head(text string, n int) string {
	for i, r := range text {
		if n -= columns(r); n < 0 {
			return text[:i]
		}
	}
	return text
}

// tail returns as much of the end of text as n columns hold.
func tail(text string, n int) string {
	runes := []rune(text)
	for i := len(runes) - 1; i >= 0; i-- {
		if n -= columns(runes[i]); n < 0 {
			return string(runes[i+1:])
		}
	}
	return text
}

// Pad fills text with spaces up to n columns: on the left if right is set.
func Pad(text string, n int, right bool) string {
	fill := strings.Repeat(" ", max(0, n-Columns(text)))
	if right {
		return fill + text
	}
	return text + fill
}
