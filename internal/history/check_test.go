//go:build unix

package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore"
)

// A keep is a message in failed/.
type keep struct {
	name    string
	version int // index in the versions of the mail
	why     spoolgore.Failure
}

// changed is the reason of a failed message whose file changed after every recipient had accepted the message. No
// report is sent for it.
const changed = "changed after it was sent"

// reported reports whether the sender must get a report.
func (k keep) reported() bool { return !strings.Contains(k.why.Reason, changed) }

// check compares ledger, logs and directory with the model at the end of the history.
func (h *history) check() {
	kept := h.readFailed()
	for _, d := range h.daemons {
		h.checkLog(d)
	}
	if info, err := os.Stat(filepath.Join(h.spool, ".spoolgore.journal")); err == nil && info.Size() > 0 {
		h.found(nil, "the journal has %d octets after the end", info.Size())
	}
	rows := h.relay.ledger()
	for _, m := range h.mails {
		var own []row
		for _, w := range rows {
			if w.mail == m.n {
				own = append(own, w)
			}
		}
		h.checkContent(m, own)
		h.checkVersions(m, own, kept[m.n])
		for _, to := range m.rcpts {
			h.checkRcpt(m, to, own, kept[m.n])
		}
		if h.bounce && slices.ContainsFunc(kept[m.n], keep.reported) {
			h.checkReport(m, rows)
		}
	}
}

// readFailed returns the messages in failed/ by the number of the mail.
func (h *history) readFailed() map[int][]keep {
	kept := map[int][]keep{}
	dir := filepath.Join(h.spool, "failed")
	entries, err := os.ReadDir(dir)
	h.must(err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			continue // a why-file; one without a message is left by a crash or a deletion
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		h.must(err)
		k := keep{name: e.Name(), version: -1}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()+".json"))
		if err != nil || json.Unmarshal(text, &k.why) != nil {
			h.found(nil, "failed/%s: why-file: %v, %.200q", e.Name(), err, text)
		}
		m := h.mailOf(content)
		if m == nil {
			h.found(nil, "failed/%s is no message of the history", e.Name())
			continue
		}
		for i, v := range m.versions {
			before, is := bytes.CutSuffix(content, v.file)
			if is && (len(before) == 0 || bytes.HasPrefix(before, []byte("X-Spoolgore-Envelope: "))) {
				k.version = i
			}
		}
		if k.version < 0 {
			h.found(m, "failed/%s (%d octets) is no whole version of its message", e.Name(), len(content))
		}
		kept[m.n] = append(kept[m.n], k)
	}
	return kept
}

// mailOf returns the mail that a content belongs to, by its Message-ID.
func (h *history) mailOf(content []byte) *mail {
	for _, m := range h.mails {
		if bytes.Contains(content, []byte("\nMessage-ID: "+m.messageID())) {
			return m
		}
	}
	return nil
}

// checkLog checks that the log of a daemon has no error, and compares its recipients with the ledger.
func (h *history) checkLog(d *daemon) {
	said := map[string]int{}
	for _, l := range d.log() {
		switch {
		case l.Level == "PANIC":
			h.found(nil, "daemon %d says %s", d.n, l.text)
		case l.Msg == "delivered" && strings.Contains(l.From, "@"):
			said[l.To]++
		}
	}
	took := map[string]int{}
	for _, w := range h.relay.ledger() {
		if w.daemon == d.n && w.what == accepted && w.mail > 0 {
			took[w.rcpt]++
		}
	}
	for _, m := range h.mails {
		for _, to := range m.rcpts {
			switch n, of := said[to.addr], took[to.addr]; {
			case n > of:
				h.found(m, "daemon %d says %d times that %s has the message, and the ledger %d times",
					d.n, n, to.addr, of)
			case n < of && !d.killed:
				h.found(m, "daemon %d was answered %d times that %s has the message, and its log says so %d times",
					d.n, of, to.addr, n)
			}
		}
	}
}

// checkContent checks that each content that the relay got is a whole version.
func (h *history) checkContent(m *mail, rows []row) {
	seen := map[string]bool{}
	for _, w := range rows {
		if (w.what == accepted || w.what == unsure) && w.version < 0 && !seen[w.note] {
			seen[w.note] = true
			h.found(m, "the relay got what never was a whole version: %s", w.note)
		}
	}
}

// checkVersions checks that the recipients of the last acceptances got the last version, and that no version is lost.
func (h *history) checkVersions(m *mail, rows []row, kept []keep) {
	if m.copies > 1 || m.deleted > 0 || slices.Contains(m.extra, linked) {
		return // it is unknown which file had which version
	}
	m.mu.Lock()
	last := len(m.versions) - 1
	m.mu.Unlock()
	for _, w := range rows {
		late := !h.drained.IsZero() && w.began.After(h.drained)
		if late && w.what == accepted && w.version >= 0 && w.version < last {
			h.found(m, "%s got version %s in the drain, when %s was there",
				w.rcpt, m.versions[w.version].id, m.versions[last].id)
		}
	}
	i := slices.Index(m.versions, m.written)
	sent := slices.ContainsFunc(rows, func(w row) bool { return w.what != broken && w.version == i })
	lies := slices.ContainsFunc(kept, func(k keep) bool { return k.version == i })
	byHand := slices.ContainsFunc(m.rcpts, func(r *rcpt) bool { return r.byHand })
	if i >= 0 && !sent && !lies && !byHand {
		h.found(m, "version %d (%s) was in the spool and is gone, sent to nobody", i+1, m.written.id)
	}
}

// checkRcpt checks that a recipient got the message, and no second copy.
func (h *history) checkRcpt(m *mail, to *rcpt, rows []row, kept []keep) {
	took, sure := 0, map[int]int{} // by daemon: acceptances that the daemon must have recorded
	for _, w := range rows {
		if w.rcpt != to.addr {
			continue
		}
		if w.what == accepted {
			took++
			sure[w.daemon]++
		}
	}
	givenUp := 0
	for _, k := range kept {
		for _, r := range slices.Concat(k.why.To, k.why.Cc, k.why.Bcc) {
			if r.Address == to.addr && r.GivenUp {
				givenUp++
			}
		}
	}
	messages := m.copies - m.deleted
	if m.copies > 1 {
		messages = min(messages, 1) // a copy that is read after the original was removed is taken for the original
	}
	if missing := messages - givenUp - took; missing > 0 && !to.byHand {
		h.found(m, "%s is missing: %d of %d messages (%d deleted, %d given up)",
			to.addr, missing, m.copies, m.deleted, givenUp)
	}
	certain := 0
	for n, times := range sure {
		certain += h.certain(h.daemons[n-1], to.addr, times)
	}
	if most := m.copies + len(m.extra); certain > most {
		h.found(m, "%s got the message %d times, and %d of the acceptances were known, where at most %d are right",
			to.addr, took, certain, most)
	}
	h.checkRecorded(m, to, rows)
}

// certain returns how many of the acceptances a daemon had recorded when it ended.
func (h *history) certain(d *daemon, addr string, times int) int {
	if !d.killed {
		return times
	}
	said := 0
	for _, l := range d.log() {
		if l.Msg == "delivered" && l.To == addr {
			said++
		}
	}
	return min(said, times)
}

// checkRecorded checks that a recipient got no copy after the status file had said Done.
func (h *history) checkRecorded(m *mail, to *rcpt, rows []row) {
	if m.copies > 1 || len(m.extra) > 0 {
		return
	}
	for path, at := range h.done[to.addr] {
		for _, w := range rows {
			if w.rcpt == to.addr && w.began.After(at) && (w.what == accepted || w.what == unsure) {
				h.found(m, "%s got the message at %s, after the status file had said Done at %s (%s)",
					to.addr, h.clock(w.began), h.clock(at), filepath.Base(path))
			}
		}
	}
}

// checkReport checks that the sender of a failed message got a report.
func (h *history) checkReport(m *mail, rows []row) {
	for _, w := range rows {
		if w.mail == 0 && w.rcpt == m.from() {
			return
		}
	}
	h.found(m, "the message was given up, and its sender got no report")
}

// clock returns a time in the form of the report.
func (h *history) clock(at interface{ UnixNano() int64 }) string {
	return fmt.Sprintf("%+.3f s", float64(at.UnixNano()-h.began.UnixNano())/1e9)
}
