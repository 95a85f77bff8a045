//go:build unix

package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore"
)

// newMail returns the next mail of the history with its first version. The relay knows it.
func (h *history) newMail(r *rand.Rand) (*mail, *file) {
	m := newMail(len(h.mails)+1, r)
	return m, h.take(m)
}

// take adds a mail to the history with its first version and returns its file, which does not exist yet.
func (h *history) take(m *mail) *file {
	m.add(m.next(m.lines))
	h.mu.Lock()
	h.mails = append(h.mails, m)
	h.mu.Unlock()
	h.relay.know(m)
	return &file{m: m, name: fmt.Sprintf("m%d.eml", m.n), place: inSpool}
}

// drop leaves a new message in the spool in one of the ways of programs.
func (h *history) drop(r *rand.Rand) bool {
	ways := []func(*mail, *file, *rand.Rand){
		h.dropRenamed, h.dropRenamed, h.dropLinked, h.dropTemporary, h.dropSlowly, h.dropInPieces, h.dropPut,
		h.dropSendmail,
	}
	m, f := h.newMail(r)
	ways[r.IntN(len(ways))](m, f, r)
	return true
}

// intoTmp writes content to a file in tmp/ and returns its path.
func (h *history) intoTmp(name string, content []byte) string {
	path := filepath.Join(h.spool, "tmp", name)
	h.must(os.WriteFile(path, content, 0o600))
	return path
}

func (h *history) dropRenamed(m *mail, f *file, _ *rand.Rand) {
	h.must(os.Rename(h.intoTmp(f.name, m.inFile(m.last())), h.path(f)))
	h.files = append(h.files, f)
	h.did(m, "drop %s by rename (%d octets)", f.name, len(m.inFile(m.last())))
}

func (h *history) dropLinked(m *mail, f *file, r *rand.Rand) {
	tmp := h.intoTmp(f.name, m.inFile(m.last()))
	h.must(os.Link(tmp, h.path(f)))
	time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
	h.must(os.Remove(tmp))
	h.files = append(h.files, f)
	h.did(m, "drop %s by link (%d octets)", f.name, len(m.inFile(m.last())))
}

// dropTemporary writes a file in the spool itself under a temporary name, and then renames or links it.
func (h *history) dropTemporary(m *mail, f *file, r *rand.Rand) {
	tmp, how := h.path(f)+".tmp", "rename"
	h.must(appendTo(tmp, os.O_CREATE|os.O_EXCL, m.inFile(m.last())))
	time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
	if r.IntN(2) == 0 {
		how = "link"
		h.must(os.Link(tmp, h.path(f)))
		h.must(os.Remove(tmp))
	} else {
		h.must(os.Rename(tmp, h.path(f)))
	}
	h.files = append(h.files, f)
	h.did(m, "drop %s by %s of %s in the spool", f.name, how, filepath.Base(tmp))
}

// dropSlowly writes a file in place, in pieces with pauses, and closes it at the end.
func (h *history) dropSlowly(m *mail, f *file, r *rand.Rand) {
	content, pauses := m.inFile(m.last()), pausesOf(r, 2+r.IntN(4), 20*time.Millisecond)
	out, err := os.OpenFile(h.path(f), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	h.must(err)
	h.did(m, "%s begins to grow in place, open all the time", f.name)
	h.writers.Go(func() {
		err := inPieces(content, pauses, func(piece []byte) error {
			_, err := out.Write(piece)
			return err
		})
		h.landed(f, "in place", err, out.Close())
	})
}

// dropInPieces writes a file in place as a shell script does: it opens and closes the file for each piece.
func (h *history) dropInPieces(m *mail, f *file, r *rand.Rand) {
	content, pauses := m.inFile(m.last()), pausesOf(r, 2+r.IntN(3), 60*time.Millisecond)
	h.did(m, "%s begins to grow in pieces, closed after each", f.name)
	path := h.path(f)
	h.writers.Go(func() {
		flag := os.O_CREATE | os.O_EXCL
		err := inPieces(content, pauses, func(piece []byte) error {
			err := appendTo(path, flag, piece)
			flag = 0
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			h.did(f.m, "%s is gone before it is whole", f.name)
			return
		}
		h.landed(f, "in pieces", err)
	})
}

func appendTo(path string, flag int, more []byte) error {
	out, err := os.OpenFile(path, flag|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(more)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

func pausesOf(r *rand.Rand, n int, most time.Duration) (list []time.Duration) {
	for range n {
		list = append(list, time.Duration(r.Int64N(int64(most))))
	}
	return list
}

// inPieces writes content in len(pauses) pieces, with a pause after each piece except the last.
func inPieces(content []byte, pauses []time.Duration, write func([]byte) error) error {
	step := len(content)/len(pauses) + 1
	for i := 0; len(content) > 0; i++ {
		piece := content[:min(step, len(content))]
		content = content[len(piece):]
		if err := write(piece); err != nil {
			return err
		}
		if len(content) > 0 {
			time.Sleep(pauses[i])
		}
	}
	return nil
}

// landed adds the file of a writer that is done: later operations may use it.
func (h *history) landed(f *file, how string, errs ...error) {
	for _, err := range errs {
		if err != nil {
			h.found(f.m, "drop %s %s: %v", f.name, how, err)
			return
		}
	}
	h.did(f.m, "drop %s %s is done", f.name, how)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived = append(h.arrived, f)
}

// dropPut uses Spool.Put, as an application does.
func (h *history) dropPut(m *mail, f *file, r *rand.Rand) {
	content, pauses := m.last().file, pausesOf(r, 1+r.IntN(3), 20*time.Millisecond)
	h.writers.Go(func() {
		in, out := io.Pipe()
		go func() {
			out.CloseWithError(inPieces(content, pauses, func(piece []byte) error {
				_, err := out.Write(piece)
				return err
			}))
		}()
		env := spoolgore.Envelope{From: m.from(), To: m.addresses()}
		name, err := spoolgore.New(h.spool, spoolgore.Options{}).Put(context.Background(), env, in)
		m.mu.Lock()
		m.envelope = true
		m.mu.Unlock()
		f.name = name
		h.landed(f, "by Put", err)
	})
}

// dropSendmail uses sendmail-spool, as a program without knowledge of the spool. The name of the file is unknown.
func (h *history) dropSendmail(m *mail, f *file, _ *rand.Rand) {
	env := environment("SPOOLGORE_DIR="+h.spool, "HOME="+filepath.Join(h.root, "home"))
	args := append([]string{"-i", "-f", m.from(), "--"}, m.addresses()...)
	content := bytes.Clone(m.last().file)
	h.writers.Go(func() {
		text, err := run(content, env, filepath.Join(h.commands, "sendmail-spool"), args...)
		if err != nil {
			h.found(m, "sendmail-spool: %v: %s", err, text)
			return
		}
		h.did(m, "drop by sendmail-spool is done")
	})
}
