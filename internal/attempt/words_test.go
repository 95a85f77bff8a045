package attempt

import (
	"testing"

	"github.com/matryer/is"
)

// Every pattern can be compiled, which happens at its first use.
func TestPatternsCompile(t *testing.T) {
	is := is.New(t)
	all := []*words{namesHELO, authWords, aboutSender, throttleWords, noPTR}
	for _, q := range quotaReplies {
		if q.text != nil {
			all = append(all, q.text)
		}
	}
	is.True(len(all) > 10)
	for _, w := range all {
		is.True(!w.MatchString("250 2.0.0 ok"))
	}
	is.True(namesHELO.MatchString("Bad EHLO")) // in upper or lower case
}

// No pattern is compiled when a program with this package starts.
func TestStartCompilesNoPattern(t *testing.T) {
	is := is.New(t)
	n := testing.AllocsPerRun(100, func() { pattern("a(b|c)+d") })
	is.True(n <= 6) // a compiled pattern needs dozens of allocations
}
