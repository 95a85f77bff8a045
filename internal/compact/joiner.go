package compact

import "strings"

// joined is the size of the memory that strings of a Joiner share, in octets.
const joined = 4 << 10

// A Joiner copies strings, many into one piece of memory, which is one object for the garbage collector. A piece is
// free when the last string in the piece is. So a Joiner is for very many strings that are made one after the other.
// The zero value is ready for use by one goroutine.
type Joiner struct{ piece *strings.Builder }

// Copy returns a copy of s.
func (j *Joiner) Copy(s []byte) string {
	if len(s) > joined/4 {
		return string(s)
	}
	if j.piece == nil || j.piece.Cap()-j.piece.Len() < len(s) {
		j.piece = new(strings.Builder)
		j.piece.Grow(joined)
	}
	start := j.piece.Len()
	j.piece.Write(s)
	return j.piece.String()[start:] // the room is enough: the piece does not move
}
