package store

import (
	"testing"

	"github.com/matryer/is"
)

// The content of a message whose record has the Message-ID is not read for a list: very many messages would be read.
func TestAListReadsNoHeadThatTheRecordHas(t *testing.T) {
	is := is.New(t)
	s := open(t)
	id := add(t, s)
	head := func() []byte {
		all, err := s.List(t.Context(), Selection{Head: true})
		is.NoErr(err)
		is.Equal(len(all), 1)
		return all[0].Head
	}
	is.Equal(string(head()), "x")
	for record, want := range map[string]string{`{"MessageID": "<a@x>"}`: "", `{}`: "x"} {
		_, err := s.pool.Exec(t.Context(), `UPDATE spoolgore.message SET record = $2 WHERE id = $1`, id, record)
		is.NoErr(err)
		is.Equal(string(head()), want)
	}
}
