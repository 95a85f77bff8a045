//go:build unix

package history

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/unbit/spoolgore"
)

// Operations that hold and release, and those on the daemon.

// links is the number of names that a file has.
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

// hold holds a message. While F2 is listed a message is held once only.
func (h *history) hold(r *rand.Rand) bool {
	f := h.pick(r, inSpool, func(f *file) bool { return h.open.lets(holding) || !f.released })
	if f == nil {
		return false
	}
	h.shift(f, inHold, r.IntN(4) == 0)
	return true
}

// release releases a message. While F2 is listed the daemon has to know that it is held.
func (h *history) release(r *rand.Rand) bool {
	f := h.pick(r, inHold, func(f *file) bool { return h.open.lets(holding) || h.knowsHeld(f) })
	if f == nil {
		return false
	}
	h.free(f, r.IntN(4) == 0)
	return true
}

func (h *history) free(f *file, command bool) {
	if !h.open.lets(holding) {
		f.released = true
	} else if !h.knowsHeld(f) {
		f.m.faults[string(holding)] = true
	}
	h.shift(f, inSpool, command)
}

// knowsHeld reports whether the daemon that runs has written to the status file that the message is held.
func (h *history) knowsHeld(f *file) bool {
	d := h.ready()
	info, err := os.Stat(h.status)
	if d == nil || h.paused || err != nil || !info.ModTime().After(d.since()) {
		return false
	}
	return !h.readStatus()[h.inSpool(f.name)].Held.IsZero()
}

// flicker holds and releases a message at once, again and again.
func (h *history) flicker(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	f.m.faults[string(holding)] = true
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

// holdOther holds a message under another name. It is released under that.
func (h *history) holdOther(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	name := fmt.Sprintf("h%d-%s", r.IntN(1000), f.name)
	err := os.Rename(h.path(f), filepath.Join(h.spool, "hold", name))
	h.did(f.m, "mv %s hold/%s: %s", f.name, name, outcome(err))
	if err == nil {
		f.m.faults[string(heldOther)] = true
		f.name, f.place = name, inHold
	}
	return true
}

func (h *history) retry(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	text, err := h.spoolgore("retry", h.spool, f.name)
	h.did(f.m, "spoolgore retry %s: %s", f.name, strings.TrimSpace(outcome(err)+" "+text))
	return true
}

// backFromFailed tries a message again that was given up.
func (h *history) backFromFailed(r *rand.Rand) bool {
	f := h.pick(r, inSpool, func(f *file) bool { return exists(h.failed(f.name)) && h.settled(f) })
	if f == nil {
		return false
	}
	h.tryAgain(f, r.IntN(2) == 0)
	return true
}

// settled reports whether the daemon is done with giving up a message. While F1 is listed it has to have said so.
func (h *history) settled(f *file) bool {
	if exists(h.path(f)) {
		return false // one file with two names, for a moment
	}
	if h.open.lets(failing) {
		return true
	}
	left, err := filepath.Glob(filepath.Join(h.spool, "tmp", ".sent-*"))
	d := h.ready()
	if err != nil || len(left) > 0 || d == nil {
		return false
	}
	for _, l := range d.log() {
		if l.Msg == "kept in failed" && l.File == f.name {
			return true
		}
	}
	return false
}

func (h *history) tryAgain(f *file, command bool) {
	if h.open.lets(failing) {
		f.m.faults[string(failing)] = true
	}
	var why spoolgore.Failure
	text, err := os.ReadFile(h.failed(f.name) + ".json")
	if err == nil && json.Unmarshal(text, &why) == nil && strings.Contains(why.Reason, changed) {
		f.m.extra = append(f.m.extra, "changed after it was sent, and tried again")
	}
	how := "mv"
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

// ready is the daemon that runs, if it hears signals by now.
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

// order sends a signal and waits until the daemon has heard it, since signals that wait may overtake each other.
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

// pause pauses the daemon, and waits until the status file may be edited. Later operations, or the drain, resume.
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

// resume ends a pause, often with an edited status file.
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

// end ends a daemon in good order.
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
