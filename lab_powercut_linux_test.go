package spoolgore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unbit/spoolgore/internal/fsys/fsystest"
)

// A labHistory is a history of a spool, with its messages and acceptances.
type labHistory struct {
	seed  uint64
	ops   []fsystest.Op
	mails map[string]*labMail
	owner map[uint64]string // name of the message by inode number
}

// recordLab records the history of a seed. An error without a power cut fails the test.
func recordLab(t *testing.T, seed uint64) *labHistory {
	t.Helper()
	r := &labHistory{seed: seed, owner: make(map[uint64]string)}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, seed, fsystest.New(t.TempDir()))
		check(t, l.disk.Hands().Mkdir(l.disk.Path("tmp"), 0o700))
		check(t, l.start())
		for range 14 {
			l.step()
		}
		pass(time.Duration(l.rnd.IntN(3)) * 30 * time.Second)
		r.ops = l.disk.Ops()
		check(t, l.stop())
		r.mails = l.mails
		for key, n := range l.after {
			if n > 1 {
				t.Errorf("seed %d: %s accepted %d times without a power cut\n%s", seed, key, n, show(r.ops))
			}
		}
	})
	for _, o := range r.ops {
		if o.Kind != fsystest.Write || r.owner[o.Ino] != "" {
			continue
		}
		if base := filepath.Base(o.Path); base[0] == '.' && !strings.HasPrefix(base, ".put-") {
			continue
		}
		_, rest, ok := strings.Cut(string(o.Data), "\nlabmail ")
		if ok && !strings.Contains(string(o.Data), "multipart/report") {
			r.owner[o.Ino] = strings.Fields(rest)[0]
		}
	}
	return r
}

// names returns the inode numbers of all files by name after the first n operations.
func (r *labHistory) names(n int) map[string]uint64 {
	names := make(map[string]uint64)
	for _, o := range r.ops[:n] {
		o.Apply(names)
	}
	return names
}

// due returns the messages that must not be lost if the power is cut after n operations.
func (r *labHistory) due(n int) (due []string) {
	for _, o := range r.ops[:n] {
		if o.Kind == fsystest.Mark && o.Path == "acknowledged" {
			due = append(due, o.To)
		}
	}
	return due
}

// mayRepeat reports whether the recipient key, which accepted before the operation n, may get the message again:
// docs/durability.md, "Second copies".
func (r *labHistory) mayRepeat(n int, key string) bool {
	name, to, _ := strings.Cut(key, " ")
	sent, removed, synced := -1, -1, false
	for i, o := range r.ops[:n] {
		switch {
		case o.Kind == fsystest.Mark && o.Path == "sent":
			file, who, _ := strings.Cut(o.To, " ")
			if who == to && (file == name || r.isNamed(i, file, name)) {
				sent = i
			}
		case o.Kind == fsystest.Rename && r.owner[o.Ino] == name && strings.HasPrefix(o.To, "tmp/.sent-"):
			if !r.hasFailed(i, o.Ino) {
				removed, synced = i, false
			}
		case o.Kind == fsystest.SyncDir && o.Path == "." && removed >= 0:
			synced = true
		}
	}
	switch {
	case removed >= 0 && synced:
		return false
	case removed >= 0:
		return r.ops[n-1].Time.Sub(r.ops[removed].Time) <= 3*time.Second
	}
	return sent < 0
}

// isNamed reports whether file was a name of the message at the operation n or before.
func (r *labHistory) isNamed(n int, file, name string) bool {
	for _, o := range r.ops[:n] {
		if r.owner[o.Ino] == name && (filepath.Base(o.Path) == file || filepath.Base(o.To) == file) {
			return true
		}
	}
	return false
}

func (r *labHistory) hasFailed(n int, ino uint64) bool {
	for name, i := range r.names(n) {
		if i == ino && strings.HasPrefix(name, "failed/") {
			return true
		}
	}
	return false
}

func show(ops []fsystest.Op) string {
	var b strings.Builder
	for i, o := range ops {
		fmt.Fprintf(&b, "%4d %v\n", i, o)
	}
	return b.String()
}

var labOrders = []string{fsystest.Ordered, fsystest.PerDirectory, fsystest.AnySubset}

// cutAndStart makes the n-th state of r and runs a spool on it. It returns the problems found.
func (r *labHistory) cutAndStart(t *testing.T, n int) (state *fsystest.State, problems []string) {
	t.Helper()
	root, err := os.MkdirTemp(t.TempDir(), "state")
	check(t, err)
	defer os.RemoveAll(root)
	rnd := rand.New(rand.NewPCG(r.seed, uint64(n)+2))
	cut := 1 + rnd.IntN(len(r.ops))
	state = fsystest.Cut(r.ops, cut, labOrders[n%len(labOrders)], rnd)
	synctest.Test(t, func(t *testing.T) {
		disk, err := state.Make(root)
		check(t, err)
		if at := r.ops[cut-1].Time; at.After(time.Now()) {
			time.Sleep(time.Until(at) + time.Second)
		}
		l := newLab(t, r.seed, disk)
		l.mails = r.mails
		for _, o := range r.ops[:cut] {
			if o.Kind == fsystest.Mark && o.Path == "accepted" {
				l.before[o.To]++
			}
		}
		l.countCopies(state)
		if rnd.IntN(2) == 0 { // the operator is faster than the next start
			for _, name := range l.names("failed") {
				l.mv("failed", ".", name)
			}
		}
		problems = l.finish()
		problems = append(problems, l.verdict(r.due(cut), func(key string) bool { return r.mayRepeat(cut, key) })...)
	})
	return state, problems
}

// countCopies allows a second copy if the power cut has left two versions of a message in two places, one of them by
// the loss of a rename. Two files are two messages.
func (l *lab) countCopies(state *fsystest.State) {
	files := make(map[string]int)
	for _, f := range state.Files {
		for _, name := range f.Names {
			if dir := filepath.Dir(name); dir == "." || dir == "hold" {
				files[filepath.Base(name)]++
				break
			}
		}
	}
	for name, m := range l.mails {
		for _, to := range m.to {
			l.forgiven[name+" "+to] += max(0, files[name]-1)
		}
	}
}

// labSeed returns the first seed, and the number of seeds of a short or a long run.
func labSeed(t *testing.T, short, long int) (first uint64, n int) {
	t.Helper()
	if text := os.Getenv("SPOOLGORE_LAB_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		check(t, err)
		return seed, 1
	}
	if os.Getenv("SPOOLGORE_LAB") == "long" {
		return 1, long
	}
	return 1, short
}

// A power cut may lose any data that was not synced. No acknowledged message is lost, and no recorded acceptance is
// repeated.
func TestLabPowerCuts(t *testing.T) {
	t.Parallel()
	first, recordings := labSeed(t, 4, 100)
	const states = 12
	perRecording := states
	if os.Getenv("SPOOLGORE_LAB") == "long" {
		perRecording = 100
	}
	failures := 0
	for seed := first; seed < first+uint64(recordings) && failures < 5; seed++ {
		r := recordLab(t, seed)
		for n := range perRecording {
			state, problems := r.cutAndStart(t, n)
			if len(problems) > 0 {
				failures++
				t.Errorf("SPOOLGORE_LAB_SEED=%d, state %d:\n%s\n%v%s",
					seed, n, strings.Join(problems, "\n"), state, show(r.ops[:state.Cut]))
				break
			}
		}
	}
	t.Logf("%d recordings, %d states of each", recordings, perRecording)
}
