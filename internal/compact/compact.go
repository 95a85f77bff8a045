// Package compact packs the fields of a rarely used record into one string: the string needs a tenth of the memory and
// is a single object for the garbage collector. The string is for memory only: Unpack does not check its input.
package compact

import (
	"encoding/binary"
	"hash/maphash"
	"time"
)

// A Packer appends fields. Call Reset first.
type Packer struct {
	sharer
	buf   []byte
	texts texts
	last  int64   // the last time without a monotonic reading, in nanoseconds since 1970
	join  *Joiner // copies the records; nil: each has its own memory
}

// Join makes the next records share memory, see Joiner.
func (p *Packer) Join() { p.join = new(Joiner) }

// texts are the last long texts of a record. A text that is repeated takes an octet or two.
type texts struct {
	last  [keptTexts]string
	count int // of the long texts so far
}

const (
	keptTexts = 16
	shortText = 8 // octets; a shorter text is not worth a place
)

// find returns the place of s; not ok: s is not there.
func (t *texts) find(s string) (place int, ok bool) {
	if len(s) < shortText {
		return 0, false
	}
	for i := range min(t.count, keptTexts) {
		if t.last[i] == s {
			return i, true
		}
	}
	return 0, false
}

// add takes s, which follows the texts so far, in place of the oldest one.
func (t *texts) add(s string) {
	if len(s) >= shortText {
		t.last[t.count%keptTexts] = s
		t.count++
	}
}

// An Unpacker returns the fields in the same order. Returned strings are parts of the packed string.
type Unpacker struct {
	Shown  bool // Time returns wall clock times without a monotonic reading, for writing to a file
	shared *Shared
	rest   string
	texts  texts
	last   int64
}

// Reset begins a record, which shares s with the records before.
func (p *Packer) Reset(s *Shared) {
	if s != p.shared {
		p.sharer = sharer{shared: s, places: make(map[string]int), seed: maphash.MakeSeed()}
	}
	p.buf, p.texts.count, p.last = p.buf[:0], 0, s.base.UnixNano()
}

// Full reports whether the Shared takes no more texts.
func (p *Packer) Full() bool { return len(p.places) == sharedTexts }

// Packed returns the record.
func (p *Packer) Packed() string {
	if p.join != nil {
		return p.join.Copy(p.buf)
	}
	return string(p.buf)
}

// Unpack returns an Unpacker of a record that was packed with s.
func Unpack(packed string, s *Shared) *Unpacker {
	return &Unpacker{shared: s, rest: packed, last: s.base.UnixNano()}
}

// Int adds a number; small ones, of either sign, take little room.
func (p *Packer) Int(n int64) { p.buf = binary.AppendVarint(p.buf, n) }

// Int returns a number.
func (u *Unpacker) Int() int64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		b := u.rest[0]
		u.rest = u.rest[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(n>>1) ^ -int64(n&1)
		}
	}
}

// Bool adds a truth value.
func (p *Packer) Bool(b bool) {
	n := byte(0)
	if b {
		n = 1
	}
	p.buf = append(p.buf, n)
}

// Bool returns a truth value.
func (u *Unpacker) Bool() bool {
	b := u.rest[0]
	u.rest = u.rest[1:]
	return b == 1
}

// String adds a string.
func (p *Packer) String(s string) {
	p.Int(int64(len(s)))
	p.buf = append(p.buf, s...)
}

// String returns a string.
func (u *Unpacker) String() string {
	n := u.Int()
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return s
}

// Text adds a string that other strings added by Text may equal, of this record or of others.
func (p *Packer) Text(s string) {
	if place, ok := p.texts.find(s); ok {
		p.Int(int64(-1 - place))
		return
	}
	if place, ok := p.find(s); ok {
		p.Int(int64(-1 - keptTexts - place))
		return
	}
	p.texts.add(s)
	p.String(s)
}

// Text returns a string that Text added.
func (u *Unpacker) Text() string {
	n := u.Int()
	if place := int(-1 - n); place >= keptTexts {
		return u.shared.text(place - keptTexts)
	} else if place >= 0 {
		return u.texts.last[place]
	}
	s := u.rest[:n]
	u.rest = u.rest[n:]
	u.texts.add(s)
	return s
}

// Kinds of times, and flags of their zones.
const (
	zeroTime    = iota
	clockTime   // no monotonic reading: times from files and people
	distantTime // no monotonic reading, and out of the range of nanoseconds in an int64
	steadyTime  // monotonic reading: measured times
	kindOfTime  = 1<<3 - 1

	local  = 1 << 3
	offset = 1 << 4 // neither UTC nor local: a fixed offset
)

// Time adds a time, with nanoseconds, and its zone. Only a time with a monotonic reading has a reading after unpacking,
// exact to a second.
func (p *Packer) Time(t time.Time) {
	place := byte(0)
	_, seconds := t.Zone()
	switch t.Location() {
	case time.UTC:
	case time.Local:
		place = local
	default:
		place = offset
	}
	switch {
	case t.IsZero():
		p.buf = append(p.buf, zeroTime)
		return
	case t != t.Round(0): // Round(0) removes the monotonic reading
		// The two durations differ if the clock was set, and always by some nanoseconds.
		base := p.shared.base
		passed, shown := t.Sub(base), t.Round(0).Sub(base.Round(0))
		p.buf = append(p.buf, steadyTime)
		p.Int(int64(passed))
		p.Int(int64(shown - passed))
		return
	case t.Year() > 1700 && t.Year() < 2200:
		p.buf = append(p.buf, clockTime|place)
		ns := t.UnixNano()
		p.Int(ns - p.last)
		p.last = ns
	default:
		p.buf = append(p.buf, distantTime|place)
		p.Int(t.Unix())
		p.Int(int64(t.Nanosecond()))
	}
	if place == offset {
		p.Int(int64(seconds))
	}
}

// Time returns a time.
func (u *Unpacker) Time() (t time.Time) {
	kind := u.rest[0]
	u.rest = u.rest[1:]
	switch kind & kindOfTime {
	case zeroTime:
		return t
	case steadyTime:
		passed, more := time.Duration(u.Int()), time.Duration(u.Int())
		if u.Shown {
			return u.shared.base.Round(0).Add(passed + more)
		}
		return u.shared.base.Add(passed)
	case clockTime:
		u.last += u.Int()
		t = time.Unix(0, u.last)
	case distantTime:
		sec := u.Int()
		t = time.Unix(sec, u.Int())
	}
	switch {
	case kind&offset != 0:
		t = t.In(time.FixedZone("", int(u.Int())))
	case kind&local != 0:
		t = t.Local()
	default:
		t = t.UTC()
	}
	return t
}
