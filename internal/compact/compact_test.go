package compact

import (
	"math"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestAllComesBack(t *testing.T) {
	is := is.New(t)
	now := time.Now()
	times := []time.Time{
		{}, now, now.Add(-time.Hour), now.Round(0), now.UTC(), now.Round(0).UTC(), time.Unix(0, 0), time.Unix(-1, 5).UTC(),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), now.Add(100 * 24 * time.Hour),
		now.Round(0).In(time.FixedZone("", 3600)), now.In(time.FixedZone("x", -7200)),
	}
	numbers := []int64{0, 1, -1, 63, -64, 64, 1 << 40, math.MaxInt64, math.MinInt64}
	texts := []string{"", "a", "g\x00\xff", string(make([]byte, 300))}
	p, base := &Packer{}, now.Add(-time.Minute)
	p.Reset(base)
	p.String("of another record")
	p.Reset(base)
	for i := range times {
		p.Time(times[i])
		p.Int(numbers[i%len(numbers)])
		p.String(texts[i%len(texts)])
		p.Bool(i%2 == 0)
	}
	u := Unpack(p.Packed(), base)
	for i := range times {
		got := u.Time()
		is.True(got.Equal(times[i]))
		is.Equal(got.Round(0).Format(time.RFC3339Nano), times[i].Round(0).Format(time.RFC3339Nano)) // what a person reads is the same
		is.Equal(got != got.Round(0), times[i] != times[i].Round(0))                                // and so is the clock that it goes by
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
		p, base := &Packer{}, time.Now()
		p.Reset(base)
		at := time.Unix(unix, n&0xfffff)
		p.Bool(b)
		p.String(s)
		p.Time(at)
		p.Int(n)
		u := Unpack(p.Packed(), base)
		is.Equal(u.Bool(), b)
		is.Equal(u.String(), s)
		is.True(u.Time().Equal(at))
		is.Equal(u.Int(), n)
	})
}
