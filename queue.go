package spoolgore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// Envelope says who a message is from and to, whatever its header says (RFC 5321, section 2.3.1), and what its sender
// asks for. Only From and To are usually set.
type Envelope struct {
	From   string   // reverse-path, without angle brackets; empty: the null sender, who gets no reports
	To     []string // recipients, at least one
	Ret    string   // how much a report returns: "FULL" or "HDRS" (RFC 3461, section 4.3); empty: no wish
	EnvID  string   // envelope identifier for reports (RFC 3461, section 4.4)
	Notify []string // Notify[i] is "NEVER", or a list of SUCCESS,FAILURE,DELAY, for To[i]; may be shorter than To
	// ORcpt[i] is the original recipient of To[i], such as "rfc822;a@example.com"; may be shorter than To
	ORcpt []string

	NotBefore time.Time // not sent before; zero: at once
	Expire    time.Time // given up if not delivered by then; zero: Options.MaxAge alone decides
	Priority  int       // of the messages that are due, higher ones go first
}

// Put leaves the message read from r in the spool for the recipients of env and returns the name of its file. When
// Put returns without an error, the message survives a power cut. Put needs no Run: a runner, in this process or in
// another one, picks the file up. The header is sent as it is, without Bcc and Return-Path. An error of r or the end
// of ctx leaves nothing behind.
func (s *Spool) Put(ctx context.Context, env Envelope, r io.Reader) (name string, err error) {
	if s.dirErr != nil {
		return "", fmt.Errorf("spoolgore: put: %w", s.dirErr)
	}
	if len(env.To) == 0 {
		return "", fmt.Errorf("spoolgore: put: %w", ErrNoRecipients)
	}
	line, err := message.Envelope(env).AppendLine(nil)
	if err != nil {
		return "", fmt.Errorf("spoolgore: put: %w", err)
	}
	s.mu.Lock()
	opts := s.opts
	s.mu.Unlock()
	if err := opts.create(s.dir); err != nil {
		return "", fmt.Errorf("spoolgore: put: %w", err)
	}
	name, err = s.dir.Put(func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		_, err := io.Copy(w, contextReader{ctx, r})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("spoolgore: put: %w", err)
	}
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil {
		current.engine.Arrived(name) // noticed at once also where the system does not tell
	}
	return name, nil
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

// Read reads unless the context has ended.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// Send is Put for a message in memory. It makes a *Spool an enmime Sender, so that an enmime MailBuilder can
// Send(spool).
func (s *Spool) Send(reversePath string, recipients []string, msg []byte) error {
	_, err := s.Put(context.Background(), Envelope{From: reversePath, To: recipients}, bytes.NewReader(msg))
	return err
}

// Flush scans the directory and tries everything that waits now, whatever its next attempt. Relays that could not be
// used are tried, too. Flush does not wait for the outcome. While nothing runs, the next Run does it.
func (s *Spool) Flush() {
	s.do(func(c *engine.Control, done func()) {
		c.Flush()
		done()
	}, func() { s.flush = true })
}

// Pause brings the status file up to date, and stops scanning, sending and writing that file until Resume, so that
// the file can be edited. Transactions under way go on, and their outcomes are remembered. Before Run, Run starts
// paused.
func (s *Spool) Pause() {
	s.do(func(c *engine.Control, done func()) { c.Pause(done) }, func() { s.paused = true })
}

// Resume ends a pause. The status file is not read, which is what Reload does, and will be written over.
func (s *Spool) Resume() {
	s.do(func(c *engine.Control, done func()) {
		c.Resume()
		done()
	}, func() { s.paused = false })
}

// Reload reads the status file, edited during a pause, and believes it: states, attempts, next attempts, and which
// recipients there are. Only an outcome since the pause is not forgotten. Reload does not end the pause. Without a
// pause an edit counts as well, but no acceptance is forgotten, no outcome since the spool last wrote the file, and no
// message that the file does not have. A file that cannot be read or parsed is an error and changes nothing.
func (s *Spool) Reload() error {
	if err := s.reload(); err != nil {
		return fmt.Errorf("spoolgore: reload: %w", err)
	}
	return nil
}

func (s *Spool) reload() error {
	var paused bool
	var written time.Time
	var path string
	var err error
	var run *engine.Control
	s.do(func(c *engine.Control, done func()) {
		run, paused, path, written = c, c.Paused(), c.StatusFile(), c.Written()
		done()
	}, func() { // the next Run reads it anyway; say now what it would say then
		var opts Options
		if opts, err = s.opts.complete(s.dir); err == nil {
			err = engine.ReadStatus(s.dir, opts.StatusFile, func(string, *record.Message) {})
		}
		if err == nil {
			s.changes++
		}
	})
	if run == nil {
		return err
	}
	if edited, err := run.Edited(paused); err != nil || !edited {
		return err // not edited: there may be a million messages in it
	}
	edited := make(map[string]*record.Message)
	err = engine.ReadStatus(s.dir, path, func(key string, m *record.Message) { edited[record.FileName(key, m)] = m })
	if err != nil {
		return err
	}
	s.do(func(c *engine.Control, done func()) { c.Reload(edited, written, done) }, func() { s.changes++ })
	return nil
}

// Status is a snapshot of what the spool knows: message file, by absolute path, and the state of its recipients. While
// nothing runs in this process, Status is what the status file says. It belongs to the caller.
func (s *Spool) Status() Status {
	status := Status{}
	var finish func()
	s.do(func(c *engine.Control, done func()) {
		records, causes := c.Snapshot()
		finish = func() { maps.Copy(status, statusOf(s.dir, records, causes, time.Now())) }
		done()
	}, func() {
		opts, err := s.opts.complete(s.dir)
		if err != nil {
			return
		}
		read := Status{}
		add := func(key string, m *record.Message) { read[key] = *messageOf(m) }
		if engine.ReadStatus(s.dir, opts.StatusFile, add) == nil {
			status = read
		}
	})
	if finish != nil {
		finish()
	}
	return status
}

// Health returns how well the spool is run. It costs little.
func (s *Spool) Health() (h Health) {
	s.do(func(c *engine.Control, done func()) {
		h = healthOf(c.Health(), c.Senders())
		done()
	}, func() {})
	return h
}
