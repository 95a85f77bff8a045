package spoolgore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unbit/spoolgore/internal/fsys/fsystest"
)

// labErrors are errors of a disk with faults, of a full disk, and of a process at its limits.
var labErrors = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ESTALE, syscall.ENOMEM, syscall.EMFILE,
	syscall.EACCES, syscall.EPERM,
}

var labKinds = []string{
	fsystest.Create, fsystest.Open, fsystest.Read, fsystest.List, fsystest.Stat, fsystest.Write, fsystest.Truncate,
	fsystest.Sync, fsystest.SyncDir, fsystest.Rename, fsystest.Link, fsystest.Remove,
}

// A labFault makes some calls fail for a while.
type labFault struct {
	mu     sync.Mutex
	err    syscall.Errno
	kinds  []string
	skip   int // calls of these kinds that succeed first
	times  int // calls that fail after those
	calls  int // calls in the present second of the bubble, to detect an endless loop
	second time.Time
	spins  bool
	hits   []string
}

// fail is the Fail function of a fsystest.Disk.
func (f *labFault) fail(kind, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now().Truncate(time.Second); !now.Equal(f.second) {
		f.second, f.calls = now, 0
	}
	if f.calls++; f.calls > 20_000 {
		f.spins = true
	}
	if !f.hit(kind) {
		return nil
	}
	f.hits = append(f.hits, fmt.Sprintf("%s %s %s: %v", time.Now().Format("15:04:05.000"), kind, path, f.err))
	return f.err
}

func (f *labFault) hit(kind string) bool {
	if f.times == 0 || !slices.Contains(f.kinds, kind) {
		return false
	}
	if f.skip > 0 {
		f.skip--
		return false
	}
	f.times--
	return true
}

// begin chooses the next error.
func (f *labFault) begin(rnd *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.kinds = labErrors[rnd.IntN(len(labErrors))], nil
	kinds := labKinds
	if rnd.IntN(2) == 0 {
		kinds = []string{fsystest.Rename, fsystest.Link, fsystest.Remove, fsystest.SyncDir}
	}
	for range 1 + rnd.IntN(3) {
		f.kinds = append(f.kinds, kinds[rnd.IntN(len(kinds))])
	}
	f.skip, f.times = rnd.IntN(12), 1
	switch rnd.IntN(4) {
	case 0:
		f.times = 2 + rnd.IntN(40)
	case 1: // a step and its undoing
		f.kinds = []string{fsystest.Rename, fsystest.Remove, fsystest.Link, fsystest.SyncDir}
		rnd.Shuffle(len(f.kinds), func(i, j int) { f.kinds[i], f.kinds[j] = f.kinds[j], f.kinds[i] })
		f.kinds, f.skip, f.times = f.kinds[:2], rnd.IntN(4), 2
	}
}

// only limits the error to calls of one kind, and lets the first skip calls succeed.
func (f *labFault) only(kind string, skip int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kinds, f.skip = []string{kind}, skip
}

func (f *labFault) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times = 0
}

// runErrors does the run of a seed. It returns the problems found and the recorded operations.
func runErrors(t *testing.T, seed uint64) (problems []string, story string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fault := &labFault{}
		disk := fsystest.New(t.TempDir())
		disk.Fail = fault.fail
		l := newLab(t, seed, disk)
		check(t, disk.Hands().Mkdir(disk.Path("tmp"), 0o700))
		check(t, l.start())
		for range 12 {
			if l.rnd.IntN(2) == 0 {
				fault.begin(l.rnd)
			}
			l.stepWithErrors(fault)
			if l.rnd.IntN(3) == 0 {
				pass(time.Duration(l.rnd.IntN(20)) * time.Second)
				fault.end()
			}
		}
		fault.end()
		select {
		case <-l.ended:
			problems = append(problems, "error: Run has ended by itself")
		default:
		}
		pass(30 * time.Minute) // a message that was never refused is sent without an operator
		for _, name := range l.names(".") {
			problems = append(problems, "waiting: "+name)
		}
		_ = l.stop()
		if fault.spins {
			problems = append(problems, "spins: more than 20,000 calls in a second")
		}
		problems = append(problems, l.finish()...)
		var due []string
		for _, o := range disk.Ops() {
			if o.Kind == fsystest.Mark && o.Path == "acknowledged" {
				due = append(due, o.To)
			}
		}
		problems = append(problems, l.verdict(due, nil)...)
		story = strings.Join(fault.hits, "\n") + "\n" + show(disk.Ops())
	})
	slices.Sort(problems)
	return slices.Compact(problems), story
}

// stepWithErrors does a step, or a restart during which the daemon may get errors.
func (l *lab) stepWithErrors(fault *labFault) {
	if l.rnd.IntN(5) > 0 {
		l.step()
		return
	}
	_ = l.stop()
	if l.rnd.IntN(2) == 0 {
		fault.begin(l.rnd)
		fault.only(fsystest.List, 4+l.rnd.IntN(8)) // the start lists directories before the first scan does
	}
	for l.start() != nil { // a service manager starts it again
		time.Sleep(5 * time.Second)
	}
}

// If any call fails, once or for a time, no message is lost or sent twice, and delivery continues by itself.
func TestLabInjectedErrors(t *testing.T) {
	t.Parallel()
	first, runs := labSeed(t, 25, 2000)
	failures := 0
	for seed := first; seed < first+uint64(runs) && failures < 5; seed++ {
		if problems, story := runErrors(t, seed); len(problems) > 0 {
			failures++
			t.Errorf("SPOOLGORE_LAB_SEED=%d\n%s\n%s", seed, strings.Join(problems, "\n"), story)
		}
	}
	t.Logf("%d runs", runs)
}
