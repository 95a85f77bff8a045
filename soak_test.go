package spoolgore

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// soakSize returns the number of messages of TestSoak: SPOOLGORE_SOAK, or as many as every run of the tests has time
// for.
func soakSize(t *testing.T) int {
	n := 1000
	if text := os.Getenv("SPOOLGORE_SOAK"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// descriptors counts the open files of this process; 0 if the system does not say.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// One recipient in a hundred is deferred once, and one message in two hundred loses its connection. Every message
// arrives, and no file, descriptor or goroutine is left over.
func TestSoak(t *testing.T) {
	is := is.New(t)
	n := soakSize(t)
	dir := t.TempDir()
	var mu sync.Mutex
	refused, dropped := map[string]bool{}, 0
	ends := 0
	relay := &smtptest.Relay{Ext: []string{"PIPELINING", "CHUNKING", "8BITMIME", "SIZE"}, Reply: func(verb, arg string) string {
		mu.Lock()
		defer mu.Unlock()
		switch verb {
		case "RCPT":
			if i, _ := strconv.Atoi(arg[:len(arg)-len("@y.org")]); i%100 == 0 && !refused[arg] {
				refused[arg] = true
				return "450 4.2.1 later"
			}
		case "END":
			if ends++; ends%200 == 0 {
				dropped++
				return "close"
			}
		}
		return ""
	}}
	addr := relay.Listen(t)
	files, goroutines := descriptors(), runtime.NumGoroutine()
	count, all := map[EventKind]int{}, make(chan struct{})
	s := New(dir, exact(Options{SMTPAddr: addr, Backoff: func(int) time.Duration { return time.Second }, OnEvent: func(ev Event) {
		if count[ev.Kind]++; ev.Kind == EventSent && count[EventSent] == n {
			close(all)
		}
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w; i < n; i += 4 {
				if err := s.Send("a@x.org", []string{fmt.Sprintf("%d@y.org", i)}, []byte(simple)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	select {
	case <-all:
	case <-time.After(patience + time.Duration(n)*10*time.Millisecond):
		t.Error("some messages were not sent")
	}
	cancel()
	is.NoErr(<-done)
	got := map[string]int{}
	twice := 0
	for _, m := range relay.Messages() {
		if got[m.To[0]]++; got[m.To[0]] > 1 {
			twice++
		}
	}
	is.Equal(len(got), n)         // no message is lost
	is.Equal(count[EventSent], n) // with one event each
	is.Equal(count[EventQueued], n)
	is.Equal(count[EventFailed], 0)
	is.True(len(refused) == (n+99)/100 && dropped > 0) // the relay has deferred recipients and closed connections
	is.True(twice <= 4*dropped)                        // second copies only of messages on a connection that was lost
	// the descriptors of the spool are closed after the last use of the Spool
	for range 100 {
		if descriptors() <= files {
			break
		}
		runtime.GC()
	}
	is.True(descriptors() <= files) // as many as before, or fewer, if other tests have ended
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	t.Logf("%d messages, %d recipients deferred, %d connections lost, %d lost, %d twice", n, len(refused), dropped, n-len(got), twice)
	t.Logf("descriptors %d before, %d after; goroutines %d before, %d after", files, descriptors(), goroutines, runtime.NumGoroutine())
}
