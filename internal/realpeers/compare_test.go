package realpeers

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestCompareFindsWhatIsWrong(t *testing.T) {
	mails := []mail{newMail(0), newMail(1)}
	right := []delivery{
		{from: mails[0].from, to: mails[0].to[0], data: mails[0].want},
		{from: mails[1].from, to: mails[1].to[0], data: mails[1].want},
	}
	tests := []struct {
		name   string
		change func(got []delivery) []delivery
		want   int
	}{
		{"nothing", func(got []delivery) []delivery { return got }, 0},
		{"one is missing", func(got []delivery) []delivery { return got[1:] }, 1},
		{"one came twice", func(got []delivery) []delivery { return append(got, got[0]) }, 1},
		{"an octet", func(got []delivery) []delivery {
			got[0].data = slices.Clone(got[0].data)
			got[0].data[len(got[0].data)-3] ^= 1
			return got
		}, 1},
		{"the end", func(got []delivery) []delivery { got[1].data = got[1].data[:len(got[1].data)-2]; return got }, 1},
		{"the sender", func(got []delivery) []delivery { got[0].from = "other@example.org"; return got }, 1},
		// and the copy for the right recipient is missing
		{"the recipient", func(got []delivery) []delivery { got[0].to = "other@example.test"; return got }, 2},
		{"nobody's", func(got []delivery) []delivery { return append(got, delivery{data: []byte("hello\r\n")}) }, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			problems := compare(mails, test.change(slices.Clone(right)))
			is.Equal(len(problems), test.want) // each problem is reported once
		})
	}
}

// unfoldAll unfolds address fields in mails and deliveries, as a server that rewrites address fields folds them in its
// own way.
func unfoldAll(mails []mail, got []delivery) {
	for i := range mails {
		mails[i].want = unfold(mails[i].want)
	}
	for i := range got {
		got[i].data = unfold(got[i].data)
	}
}

// unfold returns a message with its To field on one line.
func unfold(text []byte) []byte {
	header, rest, found := bytes.Cut(text, []byte("\r\n\r\n"))
	begin := bytes.Index(header, []byte("\r\nTo: "))
	if !found || begin < 0 {
		return text
	}
	end := begin + 2
	for {
		n := bytes.Index(header[end:], []byte("\r\n"))
		if n < 0 {
			end = len(header)
			break
		}
		end += n
		if next := header[end+2:]; len(next) == 0 || next[0] != ' ' && next[0] != '\t' {
			break
		}
		end += 2
	}
	field := "\r\n" + strings.Join(strings.Fields(string(header[begin:end])), " ")
	return slices.Concat(header[:begin], []byte(field), header[end:], []byte("\r\n\r\n"), rest)
}
