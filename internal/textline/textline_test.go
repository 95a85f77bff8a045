package textline

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/matryer/is"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 0, ""},
		{"plain ä", 0, "plain ä"},
		{"a\r\nb\tc\u2028d\u00a0e", 0, "a  b c?d\u00a0e"},
		{"a\x00b\x1b[31mc\x7fd\u0085e", 0, "a?b?[31mc?d?e"},
		{"550 \u202egnp.exe\u2066\u200f", 0, "550 ?gnp.exe??"}, // the reader sees each character
		{"a\xff\xfeb", 0, "a?b"},
		{"äöü", 5, "äö"},
		{"äöü", 6, "äöü"},
		{strings.Repeat("x", 1000), 10, "xxxxxxxxxx"},
		{strings.Repeat("\xff", 1000), 10, "?"},
	} {
		is := is.New(t)
		got := Of(tt.text, tt.limit)
		is.Equal(got, tt.want)
		is.True(utf8.ValidString(got))
	}
}
