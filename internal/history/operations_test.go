//go:build unix

package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// An operation changes the spool. It returns false if no file is fit for it.
type operation struct {
	name   string
	weight int
	do     func(h *history, r *rand.Rand) bool
}

// operations are all operations.
var operations = []operation{
	{"drop", 12, (*history).drop},
	{"touch", 3, (*history).touch},
	{"edit", 4, (*history).edit},
	{"replace", 2, (*history).replace},
	{"delete", 2, (*history).remove},
	{"copy", 2, (*history).copyFile},
	{"link", 2, (*history).link},
	{"hold", 4, (*history).hold},
	{"release", 4, (*history).release},
	{"move away", 2, (*history).moveAway},
	{"move back", 3, (*history).moveBack},
	{"retry", 2, (*history).retry},
	{"back from failed", 4, (*history).backFromFailed},
	{"flush", 5, (*history).flush},
	{"reload", 2, (*history).reload},
	{"reconfigure", 2, (*history).reconfigure},
	{"pause", 2, (*history).pause},
	{"relay rests", 1, (*history).relayRests},
	{"kill", 2, (*history).kill},
	{"terminate", 2, (*history).terminate},
	{"terminate twice", 1, (*history).terminateTwice},
	{"rename", 4, (*history).rename},
	{"sed -i", 2, (*history).sed},
	{"hold and release", 4, (*history).flicker},
	{"hold under another name", 3, (*history).holdOther},
	{"append", 3, (*history).appendMore},
	{"overwrite", 3, (*history).overwrite},
}

// operate does one operation. A stopped daemon is started again soon, and a pause ends soon.
func (h *history) operate(r *rand.Rand) {
	h.mu.Lock()
	h.files, h.arrived = append(h.files, h.arrived...), nil
	h.mu.Unlock()
	switch {
	case h.daemon() == nil && r.IntN(3) == 0:
		h.start(r.IntN(2) == 0)
		return
	case h.paused && h.daemon() != nil && r.IntN(3) == 0:
		h.resume(r)
		return
	}
	for range 10 {
		if o := choose(r); o.do(h, r) {
			return
		}
	}
}

func choose(r *rand.Rand) operation {
	total := 0
	for _, o := range operations {
		total += o.weight
	}
	at := r.IntN(total)
	for _, o := range operations {
		if at -= o.weight; at < 0 {
			return o
		}
	}
	panic("no operation")
}

// pick returns a random file in place for which is returns true.
func (h *history) pick(r *rand.Rand, place string, is func(*file) bool) *file {
	var list []*file
	for _, f := range h.files {
		if f.place == place && (is == nil || is(f)) {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[r.IntN(len(list))]
}

// stays is an argument for pick: the daemon cannot have removed the file.
func stays(f *file) bool { return f.m.stays() }

// spoolgore runs a command on the spool.
func (h *history) spoolgore(args ...string) (string, error) {
	return run(nil, environment(), filepath.Join(h.commands, "spoolgore"), args...)
}

func (h *history) touch(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	now := time.Now()
	h.did(f.m, "touch %s: %s", f.name, outcome(os.Chtimes(h.path(f), now, now)))
	return true
}

// edit replaces the file of a message with another version by rename: the same Message-ID and other text.
func (h *history) edit(r *rand.Rand) bool {
	f := h.pick(r, inSpool, stays)
	if f == nil {
		return false
	}
	v := f.m.next(1 + r.IntN(f.m.lines+3))
	tmp := h.intoTmp(f.name+"-edited", f.m.inFile(v))
	f.m.written = f.m.add(v)
	h.must(os.Rename(tmp, h.path(f)))
	h.did(f.m, "edit %s: version %s (%d octets) is renamed over it", f.name, v.id, len(f.m.inFile(v)))
	return true
}

// replace replaces the file of a message with another message. The first message is cancelled.
func (h *history) replace(r *rand.Rand) bool {
	f := h.pick(r, inSpool, stays)
	if f == nil {
		return false
	}
	m, other := h.newMail(r)
	other.name = f.name
	tmp := h.intoTmp(fmt.Sprintf("%s-%d", f.name, m.n), m.inFile(m.last()))
	f.m.deleted++
	f.place = gone
	h.must(os.Rename(tmp, h.path(other)))
	h.files = append(h.files, other)
	h.did(f.m, "%s is replaced by another message, m%d", f.name, m.n)
	h.did(m, "drop %s by rename, in the place of m%d", other.name, f.m.n)
	return true
}

func (h *history) remove(r *rand.Rand) bool {
	place := []string{inSpool, inSpool, inHold}[r.IntN(3)]
	f := h.pick(r, place, nil)
	if f == nil {
		return false
	}
	var err error
	how := "rm"
	if r.IntN(3) == 0 {
		how = "spoolgore delete"
		rel, _ := filepath.Rel(h.spool, h.path(f))
		var text string
		if text, err = h.spoolgore("delete", "-y", h.spool, rel); err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
	} else {
		err = os.Remove(h.path(f))
	}
	if err == nil {
		f.m.deleted++
		f.place = gone
	}
	h.did(f.m, "%s %s (in %s): %s", how, f.name, place, outcome(err))
	return true
}

// copyFile copies a file in the spool, as cp does. The copy is a message of its own.
func (h *history) copyFile(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil || len(f.m.last().file) > 1<<20 {
		return false
	}
	content, err := os.ReadFile(h.path(f))
	if err != nil {
		h.did(f.m, "cp %s: %s", f.name, outcome(err))
		return true
	}
	f.m.copies++
	c := &file{m: f.m, name: fmt.Sprintf("c%d-m%d-%s", f.m.copies, f.m.n, f.name), place: inSpool}
	h.must(appendTo(h.path(c), os.O_CREATE|os.O_EXCL, content))
	h.files = append(h.files, c)
	h.did(f.m, "cp %s %s", f.name, c.name)
	return true
}

// link gives a message a second name for a while. A message with two names is not sent. If the relay has just accepted
// it, or another version is renamed over the first name, the second name is a message of its own.
func (h *history) link(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	name := fmt.Sprintf("l%d-%s", len(h.undo), f.name)
	f.m.extra = append(f.m.extra, linked)
	if err := os.Link(h.path(f), h.inSpool(name)); err != nil {
		h.did(f.m, "ln %s %s: %s", f.name, name, outcome(err))
		return true
	}
	h.did(f.m, "ln %s %s", f.name, name)
	if r.IntN(2) == 0 {
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		h.unlink(f, name, r.IntN(2) == 0)
		return true
	}
	h.undo = append(h.undo, func() { h.unlink(f, name, false) })
	return true
}

// unlink removes the second name of a file. Or it removes the first name, which is a rename.
func (h *history) unlink(f *file, name string, first bool) {
	if first {
		err := os.Remove(h.path(f))
		h.did(f.m, "rm %s, which is %s now: %s", f.name, name, outcome(err))
		if given, second := h.failed(f.name), h.inSpool(name); err != nil && sameFile(given, second) {
			h.did(f.m, "rm %s, as the message is in failed/: %s", name, outcome(os.Remove(second)))
			return
		}
		f.name = name
		return
	}
	h.did(f.m, "rm %s: %s", name, outcome(os.Remove(h.inSpool(name))))
}

// sameFile reports whether both paths are names of one file.
func sameFile(a, b string) bool {
	first, err := os.Lstat(a)
	second, err2 := os.Lstat(b)
	return err == nil && err2 == nil && os.SameFile(first, second)
}

// rename gives a message another name in the spool.
func (h *history) rename(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	name := fmt.Sprintf("r%d-%s", r.IntN(1000), f.name)
	err := os.Rename(h.path(f), h.inSpool(name))
	h.did(f.m, "mv %s %s: %s", f.name, name, outcome(err))
	if err == nil {
		f.name = name
	}
	return true
}

// sed edits a file as sed -i does: the other version is written to a temporary file in the spool, and renamed.
func (h *history) sed(r *rand.Rand) bool {
	f := h.pick(r, inSpool, stays)
	if f == nil {
		return false
	}
	v := f.m.add(f.m.next(1 + r.IntN(f.m.lines+3)))
	f.m.written = v
	tmp := h.inSpool(fmt.Sprintf("sed%06d", r.IntN(1e6)))
	h.must(appendTo(tmp, os.O_CREATE|os.O_EXCL, f.m.inFile(v)))
	h.must(os.Rename(tmp, h.path(f)))
	h.did(f.m, "sed -i %s: version %s is written to %s and renamed over it", f.name, v.id, filepath.Base(tmp))
	return true
}

// moveAway moves a message out of the spool. The daemon recognizes the message when it comes back.
func (h *history) moveAway(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	from := h.path(f)
	err := os.Rename(from, filepath.Join(h.root, "away", f.name))
	h.did(f.m, "mv %s ../away: %s", f.name, outcome(err))
	if err == nil {
		f.place = away
	}
	return true
}

func (h *history) moveBack(r *rand.Rand) bool {
	f := h.pick(r, away, nil)
	if f == nil {
		return false
	}
	h.bringBack(f)
	return true
}

func (h *history) bringBack(f *file) {
	from := h.path(f)
	f.place = inSpool
	err := os.Rename(from, h.path(f))
	h.did(f.m, "mv ../away/%s . : %s", f.name, outcome(err))
}

// appendMore appends lines to a message, as echo >> does.
func (h *history) appendMore(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	content, err := os.ReadFile(h.path(f)) // two copies may be different versions
	if err != nil {
		h.did(f.m, "append to %s: %s", f.name, outcome(err))
		return true
	}
	v, more := f.m.appended(content)
	return h.writeInPlace(f, v, os.O_APPEND, more, "append to")
}

// overwrite writes another version over a message, as cp does. Often the version has the same size.
func (h *history) overwrite(r *rand.Rand) bool {
	f := h.pick(r, inSpool, nil)
	if f == nil {
		return false
	}
	lines := f.m.lines
	if r.IntN(3) == 0 {
		lines = 1 + r.IntN(lines+3)
	}
	v := f.m.next(lines)
	return h.writeInPlace(f, v, os.O_TRUNC, f.m.inFile(v), "overwrite")
}

func (h *history) writeInPlace(f *file, v *version, flag int, text []byte, what string) bool {
	out, err := os.OpenFile(h.path(f), os.O_WRONLY|flag, 0)
	if err != nil {
		h.did(f.m, "%s %s: %s", what, f.name, outcome(err))
		return true
	}
	f.m.add(v)
	_, err = out.Write(text)
	h.must(err)
	info, err := out.Stat()
	h.must(err)
	h.must(out.Close())
	if exists(h.path(f)) && links(info) > 0 {
		f.m.written = v // the file was whole for a moment: the version must be sent or kept
	}
	h.did(f.m, "%s %s: version %s, %d octets now", what, f.name, v.id, len(f.m.inFile(v)))
	return true
}
