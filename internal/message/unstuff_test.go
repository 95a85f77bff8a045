package message

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"
)

func TestUnstuff(t *testing.T) {
	for text, want := range map[string]string{
		"A: 1\r\n..B: 2\r\n\r\n..\r\n...x\r\n.y\r\nz..\r\n..": "A: 1\r\n..B: 2\r\n\r\n.\r\n..x\r\n.y\r\nz..\r\n.",
		"\r\n..a\r\n\r\n..b\r\n":                              "\r\n.a\r\n\r\n.b\r\n",
		"\r\n.\r\n....\r\n":                                   "\r\n.\r\n...\r\n",
		"A: 1\r\n":                                            "A: 1\r\n",
		"":                                                    "",
	} {
		is := is.New(t)
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			got, err := io.ReadAll(Unstuff(r))
			is.NoErr(err)
			is.Equal(string(got), want)
		}
		size, eightBit, err := MeasureReader(Unstuff(strings.NewReader(text)))
		is.NoErr(err)
		is.Equal(size, int64(len(want)))
		is.True(!eightBit)
	}
	is := is.New(t)
	_, eightBit, err := MeasureReader(strings.NewReader("\xff"))
	is.NoErr(err)
	is.True(eightBit)
	_, _, err = MeasureReader(iotest.ErrReader(errDisk))
	is.Equal(err, errDisk)
}
