package spoolgore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/known"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// priced returns a message with n lines that name a price. Two such messages differ in the price only and have the same
// size.
func priced(price, n int) string {
	return strings.Replace(named, "hello\n", strings.Repeat(fmt.Sprintf("the price is %03d euros\n", price), n), 1)
}

// mixed returns an error if a message contains lines of both versions.
func mixed(data []byte) error {
	was, is := strings.Count(string(data), "100 euros"), strings.Count(string(data), "999 euros")
	if was > 0 && is > 0 {
		return fmt.Errorf("the relay accepted a message with %d lines of one version and %d of another", was, is)
	}
	return nil
}

func TestMessageOverwrittenInFlightIsNotMixed(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F6/transport", known.Bubble(func(t *testing.T) error {
		dir := t.TempDir()
		var once sync.Once
		var got []byte
		relay := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			content := tx.Content()
			half := make([]byte, tx.Size/2)
			_, err := io.ReadFull(content, half)
			once.Do(func() { check(t, os.WriteFile(filepath.Join(dir, "m"), []byte(priced(999, 10_000)), 0o600)) })
			rest, err2 := io.ReadAll(content)
			results := make([]Result, len(tx.To))
			if err = errors.Join(err, err2); err == nil {
				got = append(half, rest...)
			}
			for i := range results {
				results[i].Err = err
			}
			return results
		})
		drop(t, dir, "m", priced(100, 10_000))
		_, stop := start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		return mixed(got)
	}))
}

func TestMessageOverwrittenInFlightIsNotMixedBySMTP(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F6/smtp", known.Bubble(func(t *testing.T) error {
		dir := t.TempDir()
		const lines = 90_000 // 2 MB: more than Spoolgore reads ahead
		next := priced(999, lines)
		var once sync.Once
		relay := &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING", "8BITMIME"}}
		relay.Reply = func(verb, arg string) string {
			if verb == "BDAT" && arg != "0" && !strings.Contains(arg, "LAST") {
				once.Do(func() { check(t, os.WriteFile(filepath.Join(dir, "m"), []byte(next), 0o600)) })
			}
			return ""
		}
		drop(t, dir, "m", priced(100, lines))
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		stop()
		var errs []error
		for _, m := range relay.Messages() {
			errs = append(errs, mixed(m.Data))
		}
		return errors.Join(errs...)
	}))
}

// oddAnswer runs a Transport that accepts a@x.org and returns err for b@x.org. It fails the test unless the acceptance
// is recorded and the message is kept for b@x.org. The process may end.
func oddAnswer(t *testing.T, err error) {
	_ = known.Bubble(func(t *testing.T) error {
		dir := t.TempDir()
		relay := &ledger{answer: func(_, to string, _ int) error {
			if to == "b@x.org" {
				return err
			}
			return nil
		}}
		drop(t, dir, "m", named)
		_, stop := start(t, dir, Options{Transport: relay})
		pass(5 * time.Minute)
		stop()
		check(t, copies(relay, "a@x.org", 1))
		if !exists(dir, "m") && !exists(dir, "failed", "m") {
			t.Error("the message is gone, though b@x.org has not got it")
		}
		return nil
	})(t)
}

// survives is a scenario that runs the test again in a process of its own. The process must not end early.
func survives(t *testing.T) error {
	output, err := known.Child(t)
	if err == nil {
		return nil
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "panic: ") {
			return fmt.Errorf("the process ends: %s", strings.TrimSpace(line))
		}
	}
	return fmt.Errorf("%w: %s", err, output)
}

func TestDeliveryErrorWithoutErrIsSurvived(t *testing.T) {
	if known.InChild() {
		oddAnswer(t, &DeliveryError{Fault: FaultRecipient, Op: "rcpt", Code: 550, Permanent: true})
		return
	}
	t.Parallel()
	known.Fault(t, "F10/without-err", survives)
}

func TestTypedNilErrorIsSurvived(t *testing.T) {
	if known.InChild() {
		var none *DeliveryError
		oddAnswer(t, none)
		return
	}
	t.Parallel()
	known.Fault(t, "F10/typed-nil", survives)
}

func TestRunEndsThoughTransportHangs(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F18/hangs", known.Bubble(func(t *testing.T) error {
		dir, release := t.TempDir(), make(chan struct{})
		drop(t, dir, "m", named)
		relay := TransportFunc(func(context.Context, *Transaction) []Result {
			<-release
			return nil
		})
		s := New(dir, exact(Options{Transport: relay, Grace: time.Second}))
		s.opts.Watch = WatchOff
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		pass(time.Second)
		cancel()
		pass(time.Minute)
		var seen error
		if len(end) == 0 {
			seen = errors.New("with a Grace of 1 s Run has not ended a minute after its context")
		}
		close(release)
		<-end
		return seen
	}))
}

func TestTransportThatAlwaysSaysCanceledIsNotCalledInALoop(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F18/spins", known.Bubble(func(t *testing.T) error {
		const most = 1000
		dir := t.TempDir()
		drop(t, dir, "m", to("b@x.org"))
		var calls atomic.Int64
		relay := TransportFunc(func(context.Context, *Transaction) []Result {
			if calls.Add(1) >= most { // a loop would keep the clock of the bubble from moving
				return []Result{{}}
			}
			return []Result{{Err: &DeliveryError{Fault: FaultNone, Err: context.Canceled}}}
		})
		_, stop := start(t, dir, Options{Transport: relay})
		pass(3 * time.Second)
		stop()
		if n := calls.Load(); n >= most {
			return fmt.Errorf("the Transport was called %d times within 3 s", n)
		}
		return nil
	}))
}

// A mortal connection leads to a relay that fails on command: the relay reads the data, and the connection is lost
// before its reply.
type mortal struct {
	net.Conn
	dying *atomic.Bool
	taken *bytes.Buffer // what the failing relay has read
}

func (c mortal) Write(p []byte) (int, error) {
	if c.dying.Load() {
		return c.taken.Write(p)
	}
	return c.Conn.Write(p)
}

func (c mortal) Read(p []byte) (int, error) {
	if c.dying.Swap(false) { // the relay works again at the next connection
		c.Close()
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// A relay whose connection was lost after the last octet of a message may have the message. The attempt is uncertain,
// also on a connection that was idle before.
func TestSecondCopyAfterRestingConnectionIsUncertain(t *testing.T) {
	t.Parallel()
	known.Fault(t, "F17", known.Bubble(func(t *testing.T) error {
		dir, events := t.TempDir(), &events{}
		relay := &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING", "8BITMIME"}}
		var dying atomic.Bool
		var taken bytes.Buffer
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := relay.Dial(ctx, network, addr)
			return mortal{conn, &dying, &taken}, err
		}
		drop(t, dir, "first", to("first@x.org"))
		_, stop := start(t, dir, Options{Dial: dial, OnEvent: events.add, Freq: time.Second})
		pass(2 * time.Second) // shorter than an idle connection is kept
		if len(relay.Messages()) != 1 {
			t.Fatal("the first message was not sent")
		}
		dying.Store(true)
		drop(t, dir, "m", to("b@x.org"))
		pass(5 * time.Minute)
		stop()
		if !strings.Contains(taken.String(), "\r\nhello\r\n") || len(relay.Messages()) != 2 {
			t.Fatalf("the message was not transferred twice; taken by the relay that died: %q", taken.String())
		}
		for _, ev := range events.all {
			var d *DeliveryError
			if ev.File == "m" && errors.As(ev.Err, &d) && d.Uncertain {
				return nil
			}
		}
		return fmt.Errorf("the message was transferred twice, and no event is uncertain: %s", events.kinds("b@x.org"))
	}))
}
