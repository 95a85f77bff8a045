// Package putfiles puts message files into a spool: single messages, mbox files, and files of Django's file-based
// backend.
package putfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/mbox"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Options change the envelope of every message.
type Options struct {
	From      *string   // sender; nil: that of the message; empty or "<>": the null sender
	To        []string  // recipients, each a list of addresses; nil: those of the message
	Expire    time.Time // when the message is given up; zero: as the message says
	NotBefore time.Time // when the message is sent at the earliest; zero: as the message says
	Priority  *int      // nil: as the message says
	Mbox      bool      // the files are mbox files, also those of one message
	Host      string    // name of this host for Received; empty: localhost
}

// Put puts the messages of the file at path into the spool, and returns their names there. It checks all messages
// first:
// if one has no recipient or no valid sender, Put returns an error that names the message, and puts none. A message
// with
// some invalid recipients is put; each such recipient fails alone, and the sender gets a report.
//
// After an error of the disk, names holds the messages that are in the spool.
func Put(dir *spooldir.Dir, path string, o Options) (names []string, err error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if names, err = PutFile(dir, f, o); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return names, err
}

// Open opens a file for PutFile. It does not wait for a FIFO, which may be in a directory of another user.
func Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// PutFile is Put for an open file.
func PutFile(dir *spooldir.Dir, f *os.File, o Options) (names []string, err error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	kind := mbox.Mbox
	if !o.Mbox {
		if kind, err = mbox.Detect(f, fi.Size()); err != nil {
			return nil, err
		}
	}
	file := source{f: f, kind: kind, arrived: fi.ModTime(), options: o}
	n := 0
	check := func(*prepared) error { n++; return nil }
	if err := file.each(check); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("no message")
	}
	err = file.each(func(m *prepared) error {
		name, err := spooldir.PutNamed(dir, func(w io.Writer, name string) error {
			return m.writeTo(w, message.Hop{Host: o.Host, UID: userID(), Name: name, Time: time.Now()})
		})
		if err == nil {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// source is a file that is read twice.
type source struct {
	f       *os.File
	kind    mbox.Kind
	arrived time.Time
	options Options
}

// each calls do for every message of the file.
func (s *source) each(do func(*prepared) error) error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	split := mbox.NewSplitter(s.f, s.kind)
	for n := 1; ; n++ {
		r, err := split.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := s.prepare(r)
		if err == nil {
			err = do(m)
		}
		if err != nil && s.kind != mbox.Single {
			err = fmt.Errorf("message %d: %w", n, err)
		}
		if err != nil {
			return err
		}
	}
}

// prepared is a message as it is to be in the spool.
type prepared struct {
	line []byte // envelope line; empty: the header is the envelope
	text io.Reader
}

// writeTo writes the message with a Received field for the hop h.
func (m *prepared) writeTo(w io.Writer, h message.Hop) error {
	_, err := io.Copy(w, io.MultiReader(bytes.NewReader(m.line), bytes.NewReader(h.Received()), m.text))
	return err
}

// userID returns the user id of the process, in decimal; empty: the system has none.
func userID() string {
	if uid := os.Getuid(); uid >= 0 {
		return strconv.Itoa(uid)
	}
	return ""
}

// prepare reads the header of the message in r and makes its envelope.
func (s *source) prepare(r io.Reader) (*prepared, error) {
	in := bufio.NewReaderSize(r, message.MaxHeader+1)
	head, err := in.Peek(message.MaxHeader + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	h, err := message.ReadHeader(bytes.NewReader(head), int64(len(head)))
	if err != nil {
		return nil, err
	}
	env, err := h.Envelope(s.arrived)
	if err != nil {
		return nil, err
	}
	// An envelope line, if there is no other reason to write one, is written only for a message that had an envelope.
	needed := env != nil || s.options.any()
	env, err = s.options.envelope(env, h.Addresses())
	if err != nil {
		return nil, err
	}
	m := &prepared{text: in}
	if first, _, _ := bytes.Cut(head[h.Start():], []byte("\n")); message.IsContinuation(first) {
		m.text = io.MultiReader(strings.NewReader("\n"), in) // or the text would continue the Received field
	}
	if _, err := in.Discard(int(h.Start())); err != nil {
		return nil, err
	}
	if needed {
		m.line, err = env.AppendAnyLine(nil)
	}
	return m, err
}

// any reports whether an option changes the envelope.
func (o Options) any() bool {
	return o.From != nil || o.To != nil || !o.Expire.IsZero() || !o.NotBefore.IsZero() || o.Priority != nil
}

// envelope returns the envelope of a message that has the envelope env, or nil, and the addresses a.
func (o Options) envelope(env *message.Envelope, a message.Addresses) (*message.Envelope, error) {
	var e message.Envelope
	if env != nil {
		e = *env
	}
	if err := o.setSender(&e, a); err != nil {
		return nil, err
	}
	if err := o.setRecipients(&e, a); err != nil {
		return nil, err
	}
	if !o.Expire.IsZero() {
		e.Expire = o.Expire
	}
	if !o.NotBefore.IsZero() {
		e.NotBefore = o.NotBefore
	}
	if o.Priority != nil {
		e.Priority = *o.Priority
	}
	return &e, nil
}

func (o Options) setSender(e *message.Envelope, a message.Addresses) error {
	switch {
	case o.From == nil && a.FromErr != nil:
		return fmt.Errorf("%w: -from sets a sender", a.FromErr)
	case o.From == nil:
		e.From = a.From
	case *o.From == "" || *o.From == "<>":
		e.From = ""
	default:
		list := message.ParseList(*o.From)
		if len(list) != 1 {
			return fmt.Errorf("-from %q: not one address", *o.From)
		}
		if e.From = list[0].Addr; list[0].Err != nil {
			return fmt.Errorf("-from %q: %w", *o.From, list[0].Err)
		}
	}
	return nil
}

func (o Options) setRecipients(e *message.Envelope, a message.Addresses) error {
	if o.To == nil {
		if len(e.To) > 0 {
			return nil
		}
		for _, list := range [][]message.Address{a.To, a.Cc, a.Bcc} {
			for _, r := range list {
				e.To = append(e.To, r.Addr)
			}
		}
		if len(e.To) == 0 {
			return errors.New("no recipient in To, Cc, Bcc or an envelope: -to sets recipients")
		}
		return nil
	}
	e.To, e.Notify, e.ORcpt = nil, nil, nil
	for _, to := range o.To {
		for _, r := range message.ParseList(to) {
			if r.Err != nil {
				return fmt.Errorf("-to %q: %w", r.Addr, r.Err)
			}
			e.To = append(e.To, r.Addr)
		}
	}
	if len(e.To) == 0 {
		return errors.New("-to: no address")
	}
	return nil
}
