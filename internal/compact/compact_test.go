package compact

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	is := is.New(t)
	now := time.Now()
	times := []time.Time{
		{}, now, now.Add(-time.Hour), now.Round(0), now.UTC(), now.Round(0).UTC(), time.Unix(0, 0), time.Unix(-1, 5).UTC(),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), now.Add(100 * 24 * time.Hour),
		now.Round(0).In(time.FixedZone("", 3600)), now.In(time.FixedZone("x", -7200)),
	}
	numbers := []int64{0, 1, -1, 63, -64, 64, 1 << 40, math.MaxInt64, math.MinInt64}
	texts := []string{"", "a", "g\x00\xff", string(make([]byte, 300))}
	p, shared := &Packer{}, NewShared(now.Add(-time.Minute))
	p.Reset(shared)
	p.String("of another record")
	p.Reset(shared)
	for i := range times {
		p.Time(times[i])
		p.Int(numbers[i%len(numbers)])
		p.String(texts[i%len(texts)])
		p.Bool(i%2 == 0)
	}
	u := Unpack(p.Packed(), shared)
	for i := range times {
		got := u.Time()
		is.True(got.Equal(times[i]))
		// the same text for a person
		is.Equal(got.Round(0).Format(time.RFC3339Nano), times[i].Round(0).Format(time.RFC3339Nano))
		// with a monotonic clock if there was one
		is.Equal(got != got.Round(0), times[i] != times[i].Round(0))
		is.Equal(u.Int(), numbers[i%len(numbers)])
		is.Equal(u.String(), texts[i%len(texts)])
		is.Equal(u.Bool(), i%2 == 0)
	}
	is.Equal(u.rest, "")
}

func FuzzPack(f *testing.F) {
	f.Add("a", int64(5), int64(7), true)
	f.Fuzz(func(t *testing.T, s string, n, unix int64, b bool) {
		is := is.New(t)
		p, shared := &Packer{}, NewShared(time.Now())
		p.Reset(shared)
		at := time.Unix(unix, n&0xfffff)
		p.Bool(b)
		p.String(s)
		p.Time(at)
		p.Int(n)
		u := Unpack(p.Packed(), shared)
		is.Equal(u.Bool(), b)
		is.Equal(u.String(), s)
		is.True(u.Time().Equal(at))
		is.Equal(u.Int(), n)
	})
}

// A text that was packed shortly before takes no room.
func TestRepeatedTextTakesNoRoom(t *testing.T) {
	is := is.New(t)
	p, shared := &Packer{}, NewShared(time.Time{})
	var all []string
	for i := range 3000 {
		text := strings.Repeat("x", 500) + strconv.Itoa(i%keptTexts)
		if i%100 == 0 {
			text = "short"
		}
		all = append(all, text)
	}
	for range 2 { // a packer can be used again
		p.Reset(shared)
		for _, text := range all {
			p.Text(text)
		}
		is.True(len(p.Packed()) < 600*keptTexts+3000*2)
		u := Unpack(p.Packed(), shared)
		for _, text := range all {
			is.Equal(u.Text(), text)
		}
		is.Equal(u.rest, "")
	}
	p.Reset(shared)
	for i := range 100 { // all texts differ
		p.Text("a text, number " + strconv.Itoa(i))
	}
	u := Unpack(p.Packed(), shared)
	for i := range 100 {
		is.Equal(u.Text(), "a text, number "+strconv.Itoa(i))
	}
}

// A text of many records takes two octets in each record.
func TestTextOfManyRecordsTakesNoRoom(t *testing.T) {
	is := is.New(t)
	p, shared := &Packer{}, NewShared(time.Now())
	packed := func(text string) string {
		p.Reset(shared)
		p.Text(text)
		return p.Packed()
	}
	unpacked := func(record string) string { return Unpack(record, shared).Text() }
	for i := range 2 * sharedTexts {
		rare := "a text of one record, number " + strconv.Itoa(i)
		is.Equal(unpacked(packed(rare)), rare)
		is.Equal(unpacked(packed(rare)), rare)
	}
	is.Equal(len(p.places), 0) // a text of one record is not shared, even if the record is packed twice
	var all []string
	for i := range sharedTexts + 100 {
		text := "a text of many records, number " + strconv.Itoa(i)
		for range 3 {
			all = append(all, packed(text))
		}
	}
	is.True(p.Full())
	for i, record := range all {
		is.Equal(unpacked(record), "a text of many records, number "+strconv.Itoa(i/3))
		if i < 3*sharedTexts && i%3 == 2 {
			is.True(len(record) <= 2)
		}
	}
	is.True(len(packed(strings.Repeat("x", longText+1))) > longText) // a long text is not shared
	is.True(len(packed(strings.Repeat("x", longText+1))) > longText)

	next := NewShared(time.Now()) // earlier records can still be decoded
	p.Reset(next)
	is.True(!p.Full())
	is.Equal(unpacked(all[2]), "a text of many records, number 0")
}
