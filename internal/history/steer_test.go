//go:build unix

package history

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/unbit/spoolgore"
)

// Operations that hold and release messages, and operations on the daemon.

// links returns the number of names of a file.
func links(info os.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// shift moves a file between the spool and hold/, by mv or by the command.
func (h *history) shift(f *file, to string, command bool) {
	from, was, err := h.path(f), f.place, error(nil)
	how, verb := "mv", map[string]string{inHold: "hold", inSpool: "release"}[to]
	f.place = to
	if command {
		how = "spoolgore " + verb
		var text string
		if text, err = h.spoolgore(verb, h.spool, f.name); err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
	} else {
		err = os.Rename(from, h.path(f))
	}
	if err != nil {
		f.place = was
	}
	h.did(f.m, "%s %s by %s: %s", verb, f.name, how, outcome(err))
}

func (h *history) hold(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	h.shift(f, inHold, r.IntN(4) == 0)
	return true
}

func (h *history) release(r *rand.Rand) bool {
	f := h.pick(r, inHold, nil)
	if f == nil {
		return false
	}
	h.shift(f, inSpool, r.IntN(4) == 0)
	return true
}

// flicker holds and releases a message at once, several times.
func (h *history) flicker(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	held, moves := filepath.Join(h.spool, "hold", f.name), 0
	for range 20 + r.IntN(100) {
		if os.Rename(h.path(f), held) != nil {
			break
		}
		time.Sleep(time.Duration(r.IntN(200)) * time.Microsecond)
		h.must(os.Rename(held, h.path(f)))
		moves++
		time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
	}
	h.did(f.m, "%d times %s is held and released at once", moves, f.name)
	return true
}

// holdOther holds a message under another name. It is released under that name.
func (h *history) holdOther(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	name := fmt.Sprintf("h%d-%s", r.IntN(1000), f.name)
	err := os.Rename(h.path(f), filepath.Join(h.spool, "hold", name))
	h.did(f.m, "mv %s hold/%s: %s", f.name, name, outcome(err))
	if err == nil {
		f.name = name
		f.place = inHold
	}
	return true
}

func (h *history) retry(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	why, known := h.why(f)
	text, err := h.spoolgore("retry", h.spool, f.name)
	if strings.Contains(text, "failed/") && (!known || strings.Contains(why.Reason, changed)) {
		f.m.extra = append(f.m.extra, again)
	}
	h.did(f.m, "spoolgore retry %s: %s", f.name, strings.TrimSpace(outcome(err)+" "+text))
	return true
}

// backFromFailed moves a message back from failed/.
func (h *history) backFromFailed(r *rand.Rand) bool {
	f := h.pick(r, inSpool, func(f *file) bool { return exists(h.failed(f.name)) && !exists(h.path(f)) })
	if f == nil {
		return false
	}
	h.tryAgain(f, r.IntN(2) == 0)
	return true
}

// why returns the why-file of a message in failed/, if it exists.
func (h *history) why(f *file) (why spoolgore.Failure, known bool) {
	text, err := os.ReadFile(h.failed(f.name) + ".json")
	return why, err == nil && json.Unmarshal(text, &why) == nil
}

func (h *history) tryAgain(f *file, command bool) {
	if why, _ := h.why(f); strings.Contains(why.Reason, changed) {
		f.m.extra = append(f.m.extra, again)
	}
	how, err := "mv", error(nil)
	if command {
		how = "spoolgore retry"
		var text string
		if text, err = h.spoolgore("retry", h.spool, "failed/"+f.name); err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
	} else {
		err = os.Rename(h.failed(f.name), h.path(f))
	}
	h.did(f.m, "move failed/%s back by %s: %s", f.name, how, outcome(err))
}

// ready returns the daemon that runs if it handles signals already, or nil.
func (h *history) ready() *daemon {
	if d := h.daemon(); d != nil && d.said("started") > 0 {
		return d
	}
	return nil
}

// tell sends a signal to the daemon.
func (h *history) tell(d *daemon, sig syscall.Signal, name string) {
	h.did(nil, "%s to daemon %d: %s", name, d.n, outcome(d.signal(sig)))
}

// order sends a signal and waits until the daemon has handled it, since pending signals may overtake each other.
func (h *history) order(d *daemon, sig syscall.Signal, name string) {
	n := d.heard(name)
	h.tell(d, sig, name)
	what := fmt.Sprintf("daemon %d hears %s", d.n, name)
	h.must(eventually(what, func() bool { return d.heard(name) > n || !d.running() }))
}

func (h *history) flush(*rand.Rand) bool {
	d := h.ready()
	if d == nil {
		return false
	}
	h.paused = false
	h.order(d, syscall.SIGURG, "SIGURG")
	return true
}

func (h *history) reload(*rand.Rand) bool {
	d := h.ready()
	if d == nil || h.paused {
		return false
	}
	h.order(d, syscall.SIGHUP, "SIGHUP")
	return true
}

func (h *history) reconfigure(r *rand.Rand) bool {
	d := h.ready()
	if d == nil || h.paused {
		return false
	}
	h.did(nil, "configuration is now: %s", h.configure(r))
	h.order(d, syscall.SIGHUP, "SIGHUP")
	return true
}

// pause pauses the daemon and waits until the status file may be edited. A later operation or the drain ends the pause.
func (h *history) pause(*rand.Rand) bool {
	d := h.ready()
	if d == nil || h.paused {
		return false
	}
	h.stop(d)
	return true
}

func (h *history) stop(d *daemon) {
	n := d.said("paused")
	h.order(d, syscall.SIGTSTP, "SIGTSTP")
	h.must(eventually("daemon pauses", func() bool { return d.said("paused") > n || !d.running() }))
	h.paused = true
}

// resume ends a pause, often after an edit of the status file.
func (h *history) resume(r *rand.Rand) {
	d := h.daemon()
	if r.IntN(4) == 0 {
		h.flush(r)
		return
	}
	if r.IntN(4) > 0 {
		h.editStatus(r)
	}
	n := d.said("resumed")
	h.order(d, syscall.SIGHUP, "SIGHUP")
	h.must(eventually("daemon resumes", func() bool { return d.said("resumed") > n || !d.running() }))
	h.paused = false
}

func (h *history) relayRests(r *rand.Rand) bool {
	d := time.Duration(r.IntN(100)) * time.Millisecond
	h.did(nil, "the relay answers new connections with 421 for %v", d)
	h.relay.rest(d)
	return true
}

func (h *history) kill(*rand.Rand) bool {
	d := h.daemon()
	if d == nil {
		return false
	}
	h.did(nil, "SIGKILL to daemon %d", d.n)
	h.must(d.kill())
	return true
}

func (h *history) terminate(*rand.Rand) bool {
	d := h.ready()
	if d == nil {
		return false
	}
	h.end(d)
	return true
}

// end ends a daemon by SIGTERM.
func (h *history) end(d *daemon) {
	h.tell(d, syscall.SIGTERM, "SIGTERM")
	h.must(d.wait())
	if d.code != 0 {
		h.found(nil, "daemon %d has ended with exit code %d after SIGTERM", d.n, d.code)
	}
	h.did(nil, "daemon %d has ended", d.n)
}

func (h *history) terminateTwice(r *rand.Rand) bool {
	d := h.ready()
	if d == nil {
		return false
	}
	d.killed = true
	h.tell(d, syscall.SIGTERM, "SIGTERM")
	time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	h.tell(d, syscall.SIGTERM, "SIGTERM again")
	h.must(d.wait())
	if d.code != 0 && d.code != 128+int(syscall.SIGTERM) {
		h.found(nil, "daemon %d has ended with exit code %d after two SIGTERM", d.n, d.code)
	}
	return true
}

// pauseEdits are the edits of the status file by an operator.
var pauseEdits = []func(h *history, r *rand.Rand, m *spoolgore.Message) string{
	func(h *history, r *rand.Rand, m *spoolgore.Message) string {
		for i := range m.To {
			to := &m.To[i]
			stays := strings.Contains(to.Address, "."+stay+"@")
			if to.Status == spoolgore.StateWaiting && !stays && h.byHand(to.Address) {
				to.Status = spoolgore.StateDone
				return "mark " + to.Address + " as done"
			}
		}
		return ""
	},
	func(_ *history, _ *rand.Rand, m *spoolgore.Message) string {
		for i := range m.To {
			if m.To[i].Status == spoolgore.StateWaiting {
				m.To[i].NextAttempt = time.Now()
			}
		}
		return "make everybody due who waits"
	},
	func(_ *history, _ *rand.Rand, m *spoolgore.Message) string {
		m.Attempts = 0
		for i := range m.To {
			m.To[i].Attempts = 0
		}
		return "set attempts to 0"
	},
}

// byHand records that an operator marks a recipient as done. It returns false if the recipient is not of this history.
func (h *history) byHand(addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, to := h.recipient(addr)
	if m != nil {
		to.byHand = true
	}
	return m != nil
}

// editStatus edits the status file during a pause.
func (h *history) editStatus(r *rand.Rand) {
	status := h.readStatus()
	paths := make([]string, 0, len(status))
	for path := range status {
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return
	}
	slices.Sort(paths)
	path := paths[r.IntN(len(paths))]
	m, what := status[path], ""
	if r.IntN(4) == 0 {
		delete(status, path)
		what = "remove the entry"
	} else if what = pauseEdits[r.IntN(len(pauseEdits))](h, r, &m); what != "" {
		status[path] = m
	}
	text, err := json.Marshal(status)
	h.must(err)
	tmp := filepath.Join(h.root, "edited.js")
	h.must(os.WriteFile(tmp, text, 0o600))
	h.must(os.Rename(tmp, h.status))
	h.did(nil, "status file is edited: %s: %s", filepath.Base(path), what)
}
