package spoolgore

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// The relay does not reply when Run is to end. No content of a message was sent, so Run does not wait: no attempt is
// counted, no other relay is asked, and the next run sends the message at once.
func TestRunDoesNotWaitForSilentRelay(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"", "220 relay.test ESMTP\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &smtptest.Relay{}
			dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr != "silent.test:25" {
					return relay.Dial(ctx, network, addr)
				}
				ours, theirs := net.Pipe()
				go func() {
					_, _ = io.WriteString(theirs, says)
					_, _ = io.Copy(io.Discard, theirs)
				}()
				return ours, nil
			}
			for _, file := range []string{"m0", "m1", "m2"} {
				drop(t, dir, file, to("b@x.org"))
			}
			_, stop := start(t, dir, Options{Dial: dial, SMTPAddr: "silent.test:25,other.test:25"})
			pass(time.Second)
			began := time.Now()
			stop()
			is.True(time.Since(began) < time.Second)
			is.Equal(len(relay.Messages()), 0)
			s := New(dir, exact(Options{Dial: relay.Dial, SMTPAddr: "other.test:25"}))
			s.opts.Watch = WatchOff
			status := s.Status()
			is.Equal(len(status), 3)
			for _, m := range status {
				is.Equal([]int{m.Attempts, m.To[0].Attempts}, []int{0, 0})
			}
			is.NoErr(s.Drain(t.Context()))
			is.Equal(len(relay.Messages()), 3)
		})
	}
}
