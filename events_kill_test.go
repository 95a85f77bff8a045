//go:build unix

package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
)

const (
	// set for the child of TestEventsAfterKill: the directory with the spool and the notes
	killDir   = "SPOOLGORE_KILL_DIR"
	killAfter = "SPOOLGORE_KILL_AFTER" // number of notes after which the child kills itself; zero: never
	killMails = 12
)

// The guarantees in the comments of Event and Envelope.ID, across kill -9. A message that was put is accepted at least
// once for each recipient. After an EventSent there is no further attempt for that recipient. There is one such event
// at most. There is an EventQueued for each recipient. The program puts a message again if it does not know whether its
// Put has succeeded.
func TestEventsAfterKill(t *testing.T) {
	if os.Getenv(killDir) != "" {
		t.Skip("this is the child")
	}
	t.Parallel()
	is := is.New(t)
	dir, seed := t.TempDir(), rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	is.NoErr(os.Mkdir(filepath.Join(dir, "spool"), 0o700))
	kills := 0
	for round := range 15 {
		after := 1 + random.IntN(20) // with 84 notes at least there are more than three kills
		if round == 14 {
			after = 0
		}
		child := exec.Command(os.Args[0], "-test.run=^TestEventsAfterKillChild$")
		child.Env = append(os.Environ(), killDir+"="+dir, killAfter+"="+strconv.Itoa(after))
		out, err := child.CombinedOutput()
		if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			kills++
			continue
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	is.True(kills > 3)
	checkNotes(t, filepath.Join(dir, "notes"))
}

// checkNotes checks the guarantees against the notes of all processes, in the order of time.
func checkNotes(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	queued, accepted, sent := map[string]int{}, map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // kind of the note, ID, recipient
		switch key := strings.Join(f[1:], " "); f[0] {
		case "put": // possibly again: the program does not know whether the Put before had succeeded
			for _, to := range []string{"a@x.org", "b@x.org"} {
				delete(sent, key+" "+to)
			}
		case "queued":
			queued[key]++
		case "accepted", "deferred":
			if f[0] == "accepted" {
				accepted[key]++
			}
			if sent[key] > 0 {
				t.Errorf("%s was offered again after its EventSent", key)
			}
		case "sent":
			if sent[key]++; sent[key] > 1 {
				t.Errorf("%s has two EventSent", key)
			}
		}
	}
	for i := range killMails {
		for _, to := range []string{"a@x.org", "b@x.org"} {
			key := fmt.Sprintf("m%d %s", i, to)
			if accepted[key] == 0 || queued[key] == 0 {
				t.Errorf("%s: accepted %d times, queued %d times", key, accepted[key], queued[key])
			}
		}
	}
}

// TestEventsAfterKillChild is the program of TestEventsAfterKill: it puts and sends messages, and kills itself.
func TestEventsAfterKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("the child of TestEventsAfterKill")
	}
	is := is.New(t)
	before, err := os.ReadFile(filepath.Join(dir, "notes"))
	is.True(err == nil || errors.Is(err, os.ErrNotExist))
	n := newNotes(t, dir)
	var mu sync.Mutex
	late := make(map[string]bool) // b@x.org is deferred once in each process
	spool := New(filepath.Join(dir, "spool"), Options{
		Watch: WatchOff, NoReports: true, Trace: 100, Backoff: func(int) time.Duration { return time.Millisecond },
		OnEvent: func(ev Event) {
			if ev.Kind == EventQueued || ev.Kind == EventSent {
				n.note(string(ev.Kind), ev.ID, ev.To)
			}
		},
		Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			mu.Lock()
			defer mu.Unlock()
			results := make([]Result, len(tx.To))
			for i, to := range tx.To {
				if to == "b@x.org" && !late[tx.ID] {
					late[tx.ID], results[i].Err = true, errLater
					n.note("deferred", tx.ID, to)
					continue
				}
				n.note("accepted", tx.ID, to)
			}
			return results
		}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- spool.Run(ctx) }()
	for i := range killMails {
		id := fmt.Sprint("m", i)
		if strings.Contains(string(before), "done "+id+"\n") {
			continue
		}
		n.note("put", id)
		_, err := spool.Put(ctx, Envelope{From: "s@x.org", To: []string{"a@x.org", "b@x.org"}, ID: id}, strings.NewReader(simple))
		is.True(err == nil || errors.Is(err, ErrDuplicate))
		n.note("done", id)
	}
	cancel()
	is.NoErr(<-ended)
	for left := true; left; {
		is.NoErr(spool.Drain(t.Context()))
		left = false
		for _, err := range spool.Messages(Filter{}) {
			is.NoErr(err)
			left = true
		}
	}
}

// notes writes lines to a file. A kill does not lose them.
type notes struct {
	file *os.File
	kill int64 // number of notes after which the process is killed; zero: never
	n    atomic.Int64
}

func newNotes(t *testing.T, dir string) *notes {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "notes"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	check(t, err)
	kill, err := strconv.ParseInt(os.Getenv(killAfter), 10, 64)
	check(t, err)
	return &notes{file: f, kill: kill}
}

func (n *notes) note(words ...string) {
	if _, err := fmt.Fprintln(n.file, strings.Join(words, " ")); err != nil {
		panic(err)
	}
	if n.n.Add(1) == n.kill {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}
