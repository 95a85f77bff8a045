package spoolgore

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// One user has 40 messages with forged senders. The relay refuses them after their content, for policy. The messages of
// another user are sent.
func TestPoisonOfOneUserDoesNotHoldUpAnother(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("needs root to give files to two users")
	}
	for _, c := range []struct {
		reply string
		most  time.Duration // until the last message of the other user
	}{
		{"421 4.7.0 Try again later|close", 10 * time.Second},
		{"451 4.7.1 Message looks like spam", 10 * time.Second},
		{"450 4.7.1 rate limit exceeded", 20 * time.Second}, // asks for less mail: the pace may be two a second
		{"421 bye|close", 10 * time.Second},
	} {
		t.Run(c.reply, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, began := t.TempDir(), time.Now()
				var mu sync.Mutex
				var good []time.Duration
				poison := false // the present transaction has a forged sender
				relay := &smtptest.Relay{Ext: []string{"PIPELINING", "8BITMIME"}}
				relay.Reply = func(verb, arg string) string {
					mu.Lock()
					defer mu.Unlock()
					switch verb {
					case "MAIL":
						poison = strings.HasPrefix(arg, "forged")
					case "END":
						if poison {
							return c.reply
						}
						good = append(good, time.Since(began))
					}
					return ""
				}
				give := func(name, sender string, uid int) {
					drop(t, dir, name, "From: "+sender+"\nTo: b@example.org\n\nhi\n")
					is.NoErr(os.Chown(filepath.Join(dir, name), uid, -1))
				}
				for i := range 40 {
					give(fmt.Sprint("a", i), fmt.Sprintf("forged%d@example.com", i), 4001)
				}
				for i := range 20 {
					give(fmt.Sprint("b", i), "ann@example.com", 4002)
				}
				_, stop := start(t, dir, Options{Dial: relay.Dial, SMTPAddr: "main.test:25", Concurrency: 1})
				pass(time.Minute)
				stop()
				is.Equal(len(good), 20)
				is.True(good[19] < c.most)
				t.Log(good[9], good[19])
			})
		})
	}
}
