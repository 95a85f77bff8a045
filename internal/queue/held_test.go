package queue

import (
	"testing"
	"time"
)

// A message in hold/ is corrected, and moved back under another name. Nobody tells of changes in hold/. A copy is
// another message.
func TestHeldMessageIsCorrectedAndRenamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		other bool // another file has the name of the message in the spool
		copy  bool
		a, b  int // acceptances, of b@x also of the other file
	}{
		"moved":                              {false, false, 1, 1},
		"copied":                             {false, true, 2, 1},
		"moved, and its name is used again":  {true, false, 1, 2},
		"copied, and its name is used again": {true, true, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := sent(t)
			d.move(d.spool, d.hold, "m", "m")
			if tt.other {
				d.rest(t)
				d.spool["m"] = file("<2@x>", "other", 9)
				d.tell("m")
			}
			d.rest(t)
			d.finish(t, "other", false)
			d.spool["n"] = file("<1@x>", "BODY", 2)
			if !tt.copy {
				delete(d.hold, "m")
			}
			d.tell("n")
			for range 5 {
				d.rest(t)
				d.now = d.now.Add(3 * time.Second)
				if tt.other {
					d.scan()
				}
			}
			for range 3 {
				d.pass(t, time.Hour, "body")
			}
			d.is.Equal(d.got["body a@x"], tt.a)
			d.is.Equal(d.got["body b@x"], tt.b)
		})
	}
}
