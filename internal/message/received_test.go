package message

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// stamp matches an unfolded Received field (RFC 5321, section 4.4): FROM and BY are required, a comment is allowed
// before ID, and the date comes last.
var stamp = regexp.MustCompile(`^Received: from \S+ by \S+( \(uid \d+\))? (with [A-Z]+ )?id \S+; ` +
	`(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$`)

func TestReceivedHasTheFormOfTheRFC(t *testing.T) {
	at := time.Date(2026, 11, 3, 6, 5, 4, 0, time.FixedZone("", -3*3600))
	for name, h := range map[string]Hop{
		"command":         {Host: "host.example", UID: "1000", Name: "20261103T090504.000000000-abc.eml", Time: at},
		"SMTP":            {Host: "host.example", With: "SMTP", UID: "0", Name: "m", Time: at},
		"nothing known":   {Name: "m", Time: at},
		"very long names": {Host: strings.Repeat("h", 300), Name: strings.Repeat("n", 250), Time: at},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			text := string(h.Received())
			is.True(len(text) <= MaxHop)
			for line := range strings.Lines(text) {
				is.True(len(line) <= 998)
			}
			unfolded := strings.TrimSuffix(strings.ReplaceAll(text, "\n\t", " "), "\n")
			is.True(stamp.MatchString(unfolded)) // the grammar
			is.True(strings.Contains(text, "Tue, 03 Nov 2026 06:05:04 -0300"))
		})
	}
}
