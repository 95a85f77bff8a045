package attempt

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// words is a pattern for texts of replies. The pattern is compiled at its first use: sendmail-spool, which is started
// for each message, has this package and sees no reply.
type words struct {
	compiled func() *regexp.Regexp
}

// pattern returns the words for a regular expression. The case of letters is ignored.
func pattern(expr string) *words {
	return &words{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("(?i)" + expr) })}
}

// MatchString reports whether the words are in text. Mail addresses do not count: a relay repeats the address that it
// refuses, and any sender can write to auth@example.org.
func (w *words) MatchString(text string) bool {
	if strings.Contains(text, "@") {
		isAddress := func(word string) bool { return strings.Contains(word, "@") }
		text = strings.Join(slices.DeleteFunc(strings.Fields(text), isAddress), " ")
	}
	return w.compiled().MatchString(text)
}
