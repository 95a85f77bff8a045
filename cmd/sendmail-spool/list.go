//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// recipient is one of the status file; see docs/spool.md.
type recipient struct {
	Address     string
	Status      int // 0 waiting, 1 in progress, 2 done
	Attempts    int
	NextAttempt time.Time `json:",omitzero"`
	Error       string    `json:",omitempty"`
	GivenUp     bool      `json:",omitempty"`
}

// entry is a message in the spool, as the status file has it.
type entry struct {
	Name        string
	Size        int64
	Enqueued    time.Time
	From        string
	To, Cc, Bcc []recipient `json:",omitempty"`
	Error       string      `json:",omitempty"` // why it cannot be sent
}

// list is -bp and mailq: what is in the spool, whether a daemon runs or not. One who got in by the group of the command
// sees only what is theirs.
func (s *shim) list(asJSON bool) error {
	names, err := s.spool.Names()
	if err != nil {
		return err
	}
	known := s.status()
	var count, bytes int64
	for _, name := range names {
		e, ok := s.entry(name, known)
		if !ok {
			continue
		}
		count, bytes = count+1, bytes+e.Size
		if asJSON {
			if err := json.NewEncoder(s.stdout).Encode(e); err != nil {
				return fail(exitIO, "%w", err)
			}
			continue
		}
		if count == 1 {
			fmt.Fprintf(s.stdout, "%-46s %10s  %-19s  %s\n", "NAME", "BYTES", "SINCE", "SENDER AND RECIPIENTS")
		}
		s.show(e)
	}
	switch {
	case asJSON:
	case count == 0:
		fmt.Fprintln(s.stdout, "Mail queue is empty") // scripts look for these words
	default:
		fmt.Fprintf(s.stdout, "-- %d bytes in %d messages\n", bytes, count)
	}
	return nil
}

// show prints one message as a line, and one for each recipient who still waits.
func (s *shim) show(e entry) {
	const stamp = "2006-01-02 15:04:05"
	from := e.From
	if from == "" {
		from = "<>"
	}
	fmt.Fprintf(s.stdout, "%-46s %10d  %-19s  %s\n", oneLine(e.Name), e.Size, e.Enqueued.Local().Format(stamp), oneLine(from))
	if e.Error != "" {
		fmt.Fprintf(s.stdout, "%80s(%s)\n", "", oneLine(e.Error))
	}
	for _, list := range [][]recipient{e.To, e.Cc, e.Bcc} {
		for _, r := range list {
			if r.Status == 2 && !r.GivenUp {
				continue
			}
			fmt.Fprintf(s.stdout, "%80s%s\n", "", oneLine(r.Address))
			if r.Error != "" {
				fmt.Fprintf(s.stdout, "%80s(%s)\n", "", oneLine(r.Error))
			}
		}
	}
}

// status is what the status file says, by the names of the files; nothing, if it cannot be read.
func (s *shim) status() map[string]entry {
	path := s.spool.File(".spoolgore.js")
	if json := s.conf.json.value; json != "" && filepath.IsAbs(json) {
		path = json
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var byPath map[string]entry
	if json.Unmarshal(text, &byPath) != nil {
		return nil
	}
	byName := make(map[string]entry, len(byPath))
	for path, e := range byPath {
		byName[filepath.Base(path)] = e
	}
	return byName
}

// entry is what is known of the message called name: by the status file, else by its own header. The answer is false if
// it is gone, or is not for the eyes of the caller.
func (s *shim) entry(name string, known map[string]entry) (entry, bool) {
	fi, err := os.Lstat(s.spool.File(name))
	if err != nil || s.sys.elevated && s.sys.uid != 0 && spooldir.Owner(fi) != s.sys.uid {
		return entry{}, false
	}
	e, ok := known[name]
	if !ok {
		e = s.header(name)
	}
	e.Name, e.Size = name, fi.Size()
	if e.Enqueued.IsZero() {
		e.Enqueued = fi.ModTime()
	}
	return e, true
}

// header is what the file says of itself.
func (s *shim) header(name string) entry {
	f, id, err := s.spool.Open(name)
	if err != nil {
		return entry{Error: err.Error()}
	}
	defer f.Close()
	h, err := message.ReadHeader(f, id.Size)
	if err != nil {
		return entry{Error: err.Error()}
	}
	a := h.Addresses()
	e := entry{From: a.From}
	if a.FromErr != nil {
		e.Error = a.FromErr.Error()
	}
	for _, part := range []struct {
		from []message.Address
		to   *[]recipient
	}{{a.To, &e.To}, {a.Cc, &e.Cc}, {a.Bcc, &e.Bcc}} {
		for _, addr := range part.from {
			r := recipient{Address: addr.Addr}
			if addr.Err != nil {
				r.Error = addr.Err.Error()
			}
			*part.to = append(*part.to, r)
		}
	}
	return e
}

// flush is -q: the daemon is told to try everything now. That none runs is no failure.
func (s *shim) flush() error {
	pid, err := s.spool.Holder()
	if errors.Is(err, fs.ErrPermission) {
		return fail(exitNoPerm, "-q: only the user who runs the daemon, and root, may wake it")
	}
	if err != nil {
		return err
	}
	if pid == 0 {
		if _, err := os.Stat(s.spool.Path()); err != nil {
			return err
		}
		s.say("-q: no daemon runs on " + s.spool.Path() + ", so nothing is tried")
		return nil
	}
	// Whoever does not know this signal ignores it, should the daemon have ended by now.
	switch err := syscall.Kill(pid, syscall.SIGURG); {
	case errors.Is(err, syscall.EPERM):
		return fail(exitNoPerm, "-q: only the user who runs the daemon, and root, may wake it")
	case err != nil && !errors.Is(err, syscall.ESRCH):
		return fmt.Errorf("-q: wake the daemon: %w", err)
	}
	return nil
}
