package retry

import (
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestParseSchedule(t *testing.T) {
	is := is.New(t)
	after, err := Parse("1m, 5m*2 ,1h")
	is.NoErr(err)
	for n, want := range map[int]time.Duration{
		0: time.Minute, 1: time.Minute, 2: 5 * time.Minute, 3: 5 * time.Minute, 4: time.Hour, 5: time.Hour, 1000: time.Hour,
	} {
		is.Equal(after(n), want)
	}
	for _, bad := range []string{"", "1", "1m,", "0s", "-1m", "1m*0", "1m*x", "1m*99999", "x"} {
		_, err := Parse(bad)
		is.True(err != nil)
	}
}
