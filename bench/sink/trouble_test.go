package sink

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTroubles(t *testing.T) {
	const message = "MAIL FROM:<a@x>\r\nRCPT TO:<b1@y>\r\nBDAT 1 LAST\r\nx"
	const three = message + message + message
	for name, tt := range map[string]struct {
		trouble     Trouble
		input, want string
		pause       time.Duration
		again       string // replies to the same commands in another session, after the pause
	}{
		"per second":     {Trouble{PerSecond: 2}, three, "250 250 250 250 250 250 250 250 454", time.Second, "250 250 250 250 250 250 250 250 454"},
		"soon again":     {Trouble{PerSecond: 2}, three, "250 250 250 250 250 250 250 250 454", 999 * time.Millisecond, "250 250 454 250 250 454 250 250 454"},
		"greylisted":     {Trouble{Grey: "b", GreyFor: time.Minute}, "MAIL FROM:<a@x>\r\nRCPT TO:<b1@y>\r\n", "250 451", time.Minute, "250 250"},
		"too early":      {Trouble{Grey: "b", GreyFor: time.Minute}, "MAIL FROM:<a@x>\r\nRCPT TO:<b1@y>\r\n", "250 451", time.Second, "250 451"},
		"others":         {Trouble{Grey: "c", GreyFor: time.Minute, Poison: "d"}, message, "250 250 250", 0, "250 250 250"},
		"poison":         {Trouble{Poison: "b"}, message, "250 250 451", time.Hour, "250 250 451"},
		"per connection": {Trouble{PerConn: 2}, three, "250 250 250 250 250 250 421", 0, "250 250 250 250 250 250 421"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Config{Trouble: tt.trouble})
				if got, _ := transcript(s, tt.input, 10); got != tt.want {
					t.Errorf("answers %s, want %s", got, tt.want)
				}
				time.Sleep(tt.pause)
				if got, _ := transcript(s, tt.input, 10); got != tt.again {
					t.Errorf("after %v answers %s, want %s", tt.pause, got, tt.again)
				}
			})
		})
	}
}
