package record

import (
	"io"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestDecodeLiveStatusChangesNothing(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	const text = `{"/s/a": {"To": [{"Address": "a@x.org", "Status": 1}, {"Address": "b@x.org", "GivenUp": true}]}}`
	read := func(decode func(io.ReadSeeker, func(string, *Message) error) error) (m *Message) {
		is.NoErr(decode(strings.NewReader(text), func(_ string, read *Message) error { m = read; return nil }))
		return m
	}
	live := read(DecodeLiveStatus)
	is.Equal(live.To[0].Status, InProgress)
	is.True(live.To[1].GivenUp)
	ended := read(DecodeStatus)
	is.Equal(ended.To[0].Status, Waiting)
	is.True(!ended.To[1].GivenUp)
}

func TestDecodeLiveStatusRefusesAnUnknownState(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	text := "{\n\"/s/a\": {\"Cc\": [{\"Address\": \"a@x.org\", \"Status\": 3}]}}"
	err := DecodeLiveStatus(strings.NewReader(text), func(string, *Message) error { return nil })
	is.True(err != nil)
	is.True(strings.Contains(err.Error(), `recipient "a@x.org" has status 3`))
}
