package compact

import (
	"hash/maphash"
	"strings"
	"time"
)

// Shared has the base of the times of many packed records, and texts packed several times. A packed record keeps the
// Shared in memory. A text in a Shared never changes: other goroutines may unpack records while the owner packs more
// records.
type Shared struct {
	base  time.Time
	texts [sharedTexts / chunk]*[chunk]string // chunks are added one by one
}

const (
	sharedTexts = 4096 // in a Shared
	chunk       = 64
	longText    = 512 // octets; a longer text is not shared
)

// NewShared returns a Shared without texts. Times with a monotonic reading are stored relative to base, which must be a
// result of time.Now in this process.
func NewShared(base time.Time) *Shared { return &Shared{base: base} }

// Base returns the base of the times.
func (s *Shared) Base() time.Time { return s.base }

func (s *Shared) text(place int) string { return s.texts[place/chunk][place%chunk] }

// A sharer adds texts to a Shared. It belongs to the Packer of the Shared.
type sharer struct {
	shared *Shared
	places map[string]int  // of the texts in shared
	few    [1 << 10]uint64 // hashes of texts that were packed once or twice, by the end of the hash
	seed   maphash.Seed    // of the hashes
}

// packedTwice is a bit of an element of few beside the hash.
const packedTwice = 1

// find returns the place of s in the Shared. If s was packed twice lately, it becomes a shared text. A record is packed
// twice until a relay has accepted its message: a text of that record only is not shared.
func (x *sharer) find(s string) (place int, ok bool) {
	if len(s) < shortText || len(s) > longText {
		return 0, false
	}
	if place, ok = x.places[s]; ok {
		return place, true
	}
	hash := maphash.String(x.seed, s) &^ packedTwice
	switch known := &x.few[hash>>1%uint64(len(x.few))]; *known {
	case hash:
		*known |= packedTwice
		return 0, false
	case hash | packedTwice:
	default:
		*known = hash
		return 0, false
	}
	place = len(x.places)
	if place == sharedTexts {
		return 0, false
	}
	s = strings.Clone(s) // without the text around
	if place%chunk == 0 {
		x.shared.texts[place/chunk] = new([chunk]string)
	}
	x.shared.texts[place/chunk][place%chunk] = s
	x.places[s] = place
	return place, true
}
