package attempt

import (
	"regexp"
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

// MatchString reports whether the words are in text.
func (w *words) MatchString(text string) bool { return w.compiled().MatchString(text) }
