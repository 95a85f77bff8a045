//go:build unix

package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
)

// Where a file is, as far as the history has moved it. The daemon may have removed it from the spool since, or moved it
// to failed/.
const (
	inSpool = "spool"
	inHold  = "hold"
	away    = "away"
	gone    = "gone"
	growing = "growing" // a slow writer has not finished
)

// A file is a file of a mail.
type file struct {
	m     *mail
	name  string
	place string
}

// A step is a line of the report: an operation or an observation of the history.
type step struct {
	at   time.Time
	mail int // number of the mail; 0: of no mail, or of all
	text string
}

// A finding is a broken invariant.
type finding struct {
	mail *mail // nil: of no mail
	text string
}

// A history is one run of the model.
type history struct {
	t        *testing.T
	seed     uint64
	commands string
	root     string // parent directory of spool, away, home and config
	spool    string
	status   string
	began    time.Time
	relay    *relay
	daemons  []*daemon
	paused   bool
	bounce   bool
	drained  time.Time // since then only last versions are sent; zero: unknown

	mails   []*mail
	files   []*file
	undo    []func() // what to undo before the drain: moves and second names
	writers sync.WaitGroup

	mu       sync.Mutex
	steps    []step
	findings []finding
	done     map[string]map[string]time.Time // by recipient and path: when the status file first said Done
	arrived  []*file                         // files whose writers have finished, for the next operation to take over
}

// random returns the source of random numbers for one purpose. Numbers drawn for one operation do not affect the next.
func (h *history) random(purpose int) *rand.Rand {
	return rand.New(rand.NewPCG(h.seed, uint64(purpose)))
}

func newHistory(t *testing.T, seed uint64) *history {
	root := t.TempDir()
	h := &history{t: t, seed: seed, root: root, done: map[string]map[string]time.Time{}}
	h.spool = filepath.Join(root, "spool")
	h.status = filepath.Join(h.spool, ".spoolgore.js")
	dir, err := commands()
	h.must(err)
	h.commands = dir
	for _, sub := range []string{"spool/tmp", "spool/hold", "spool/failed", "away", "home"} {
		h.must(os.MkdirAll(filepath.Join(root, sub), 0o700))
	}
	r := h.random(-1)
	ext := [][]string{{"PIPELINING", "CHUNKING"}, {"PIPELINING", "CHUNKING"}, {"PIPELINING"}, {}}[r.IntN(4)]
	h.relay = listen(t, append(ext, "ENHANCEDSTATUSCODES"))
	h.bounce = r.IntN(2) == 0
	h.configure(r)
	h.began = time.Now()
	return h
}

func (h *history) must(err error) {
	if err != nil {
		h.t.Helper()
		h.t.Fatalf("seed %d: %v", h.seed, err)
	}
}

// configure writes the configuration of the daemon. Relay, concurrency and extensions are random.
func (h *history) configure(r *rand.Rand) string {
	lines := []string{
		"smtpaddr " + h.relay.addrs[r.IntN(2)], "freq 100ms", "settle 1s", "retry 100ms",
		fmt.Sprint("concurrency ", 1+r.IntN(6)),
		fmt.Sprint("window ", 1+r.IntN(4)), "bounce " + map[bool]string{true: "yes", false: "no"}[h.bounce],
	}
	switch r.IntN(4) {
	case 0:
		lines = append(lines, "nopipelining")
	case 1:
		lines = append(lines, "nochunking")
	}
	path := filepath.Join(h.root, "config")
	h.must(os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	h.must(os.Rename(path+".new", path))
	return strings.Join(lines, "; ")
}

// did adds a step.
func (h *history) did(m *mail, format string, args ...any) {
	s := step{at: time.Now(), text: fmt.Sprintf(format, args...)}
	if m != nil {
		s.mail = m.n
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps = append(h.steps, s)
}

// found adds a broken invariant.
func (h *history) found(m *mail, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.findings = append(h.findings, finding{m, fmt.Sprintf(format, args...)})
}

// daemon returns the daemon that runs, or nil.
func (h *history) daemon() *daemon {
	if n := len(h.daemons); n > 0 && h.daemons[n-1].running() {
		return h.daemons[n-1]
	}
	return nil
}

// start starts a daemon. With wait, it waits until the daemon has started.
func (h *history) start(wait bool) {
	d := h.daemon()
	if d == nil {
		var err error
		d, err = launch(h.commands, len(h.daemons)+1, filepath.Join(h.root, "config"), h.spool)
		h.must(err)
		h.daemons, h.paused = append(h.daemons, d), false
		h.did(nil, "daemon %d is started (process %d)", d.n, d.cmd.Process.Pid)
		h.t.Cleanup(func() { _ = d.kill() })
	}
	if wait {
		h.must(eventually("daemon starts", func() bool { return d.said("started") > 0 || !d.running() }))
	}
}

// path returns the path of a file.
func (h *history) path(f *file) string {
	switch f.place {
	case inHold:
		return filepath.Join(h.spool, "hold", f.name)
	case away:
		return filepath.Join(h.root, "away", f.name)
	}
	return filepath.Join(h.spool, f.name)
}

func (h *history) inSpool(name string) string { return filepath.Join(h.spool, name) }
func (h *history) failed(name string) string  { return filepath.Join(h.spool, "failed", name) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// outcome returns the text of err for a step.
func outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there"
	}
	return err.Error()
}

// readStatus reads the status file, or returns nil if there is none.
func (h *history) readStatus() spoolgore.Status {
	text, err := os.ReadFile(h.status)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var s spoolgore.Status
	if err = errors.Join(err, json.Unmarshal(text, &s)); err != nil {
		h.found(nil, "the status file is no valid JSON: %v: %.200q", err, text)
	}
	return s
}

// readStatusIf reads the status file if asked is true.
func (h *history) readStatusIf(asked bool) spoolgore.Status {
	if !asked {
		return nil
	}
	return h.readStatus()
}

// poll reads the status file many times until the history is over, and compares it with the ledger.
func (h *history) poll(over <-chan struct{}) {
	var last os.FileInfo
	for {
		info, err := os.Stat(h.status)
		if err == nil && last != nil && os.SameFile(info, last) && info.ModTime().Equal(last.ModTime()) {
			info = nil // the file has not changed
		} else {
			last = info
		}
		for path, m := range h.readStatusIf(info != nil) {
			for _, to := range slices.Concat(m.To, m.Cc, m.Bcc) {
				if to.Status == spoolgore.StateDone && !to.GivenUp {
					h.sawDone(path, to.Address)
				}
			}
		}
		select {
		case <-over:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// sawDone records that the status file says that a recipient has accepted the message.
func (h *history) sawDone(path, addr string) {
	has := h.relay.has(addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.done[addr]
	if seen == nil {
		seen = map[string]time.Time{}
		h.done[addr] = seen
	}
	if !seen[path].IsZero() {
		return
	}
	seen[path] = time.Now()
	if m, to := h.recipient(addr); m != nil && !has && !to.byHand {
		text := fmt.Sprintf("the status file says that %s has the message, and the ledger does not", addr)
		h.findings = append(h.findings, finding{m, text})
	}
}

// recipient returns the recipient with the address. The caller holds the lock.
func (h *history) recipient(addr string) (*mail, *rcpt) {
	for _, m := range h.mails {
		for _, r := range m.rcpts {
			if r.addr == addr {
				return m, r
			}
		}
	}
	return nil, nil
}

// play runs a history with random operations and checks it.
func (h *history) play(operations int) {
	r := h.random(-2)
	h.run(func() {
		for i := range 2 + r.IntN(4) { // some mail is dropped before the daemon starts
			h.drop(h.random(-10 - i))
		}
		h.start(r.IntN(3) > 0)
		hurry := time.Duration(1+r.IntN(40)) * time.Millisecond
		for i := range operations {
			h.operate(h.random(i + 1))
			if r.IntN(3) > 0 {
				time.Sleep(time.Duration(r.Int64N(int64(hurry))))
			}
		}
	})
}

// run runs the operations of a history, drains the spool and checks.
func (h *history) run(operations func()) {
	over := make(chan struct{})
	var polling sync.WaitGroup
	polling.Go(func() { h.poll(over) })
	defer polling.Wait()
	stop := sync.OnceFunc(func() { close(over) })
	defer stop()
	operations()
	h.drainAll(h.random(-3))
	stop()
	polling.Wait()
	h.check()
}
