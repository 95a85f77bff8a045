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

// soakSize is how many messages TestSoak sends: SPOOLGORE_SOAK of them, else as many as fit into every run of the tests.
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

// descriptors counts the open files of this process; 0 where it cannot be told.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// One recipient in a hundred is refused for now, one message in two hundred takes its connection along: all arrive, and
// nothing is left over.
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
	told, all := map[EventKind]int{}, make(chan struct{})
	s := New(dir, exact(Options{SMTPAddr: addr, Backoff: func(int) time.Duration { return time.Second }, OnEvent: func(ev Event) {
		if told[ev.Kind]++; ev.Kind == EventSent && told[EventSent] == n {
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
		t.Error("not all have arrived")
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
	is.Equal(len(got), n)        // none is lost
	is.Equal(told[EventSent], n) // with one event each
	is.Equal(told[EventQueued], n)
	is.Equal(told[EventFailed], 0)
	is.True(len(refused) == (n+99)/100 && dropped > 0) // the relay did what it was to do
	is.True(twice <= 4*dropped)                        // at most what shared a flight with a lost connection
	for range 100 {                                    // the directories of the spool are closed with the last use of the Spool
		if descriptors() <= files {
			break
		}
		runtime.GC()
	}
	is.True(descriptors() <= files) // as before, or fewer: other tests have ended, too
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	t.Logf("%d messages, %d recipients refused for now, %d connections lost, %d lost, %d twice", n, len(refused), dropped, n-len(got), twice)
	t.Logf("descriptors %d before, %d after; goroutines %d before, %d after", files, descriptors(), goroutines, runtime.NumGoroutine())
}
