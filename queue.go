package spoolgore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Envelope is the envelope of a message (RFC 5321, section 2.3.1): sender and recipients, independent of the header,
// and requests of the sender. Only From and To are usually set.
type Envelope struct {
	From   string   // reverse-path, without angle brackets; empty: the null sender, who gets no reports
	To     []string // recipients, at least one
	Ret    string   // how much a report returns: "FULL" or "HDRS" (RFC 3461, section 4.3); empty: no wish
	EnvID  string   // envelope identifier for reports (RFC 3461, section 4.4)
	Notify []string // Notify[i] is "NEVER", or a list of SUCCESS,FAILURE,DELAY, for To[i]; may be shorter than To
	// ORcpt[i] is the original recipient of To[i], such as "rfc822;a@example.com"; may be shorter than To
	ORcpt []string

	NotBefore time.Time // time of the first attempt; zero: at once
	Expire    time.Time // given up if not delivered by then; zero: Options.MaxAge alone decides
	Priority  int       // due messages with a higher priority go first

	// ID is the caller's own id of the message, at most 200 octets; empty: none. Every Event, the log and the status
	// have the ID. Put returns ErrDuplicate while the spool has a message with the ID, be it held or failed, and after
	// a relay has accepted one as long as .spoolgore.sent has the outcome, see Options.Trace.
	ID string

	// UID is the id of the user who sends the message, in decimal; empty: the owner of the file. Users take turns.
	UID string
}

// Errors of Put, PutMany and Send. Test with errors.Is. A server answers 400 to ErrEnvelope, 413 to ErrTooLarge, 202 or
// 409 to ErrDuplicate, and 503 to ErrSpool: the same call may succeed later. Another error is that of the content's
// reader, or of the context.
var (
	ErrEnvelope     = errors.New("bad envelope")                    // ErrNoRecipients and *AddressError are such, too
	ErrNoRecipients = errors.New("no recipients")                   // Envelope.To is empty
	ErrTooLarge     = errors.New("message too large")               // beyond MaxSize, MaxRecipients, or any file
	ErrSpool        = errors.New("the spool cannot be written")     // no directory, no right, a disk that fails
	ErrSpoolFull    = fmt.Errorf("%w: no room", ErrSpool)           // the disk or a quota is full
	ErrDuplicate    = errors.New("there is a message with that ID") // Envelope.ID; the name of its file is returned
)

// AddressError says which address of an envelope cannot be used. Find it with errors.As.
type AddressError struct {
	Address string
	Index   int   // of the recipient in Envelope.To; negative: Envelope.From
	Err     error // why
}

// Error returns the address and the reason.
func (e *AddressError) Error() string { return (*message.AddressError)(e).Error() }

// Unwrap returns ErrEnvelope and the reason.
func (e *AddressError) Unwrap() []error { return []error{ErrEnvelope, e.Err} }

// Put writes the message read from r into the spool for the recipients of env and returns the name of the file. When
// Put returns without an error, the message survives a power cut. Put needs no Run: a Run in this or another process
// finds the file. The header is sent unchanged, but without Bcc and Return-Path, and a missing Date or Message-ID is
// added. The caller writes From and To: many receivers refuse a message without From. After an error of r or the end of
// ctx no file is left. Concurrent calls share syncs of the directory.
func (s *Spool) Put(ctx context.Context, env Envelope, r io.Reader) (name string, err error) {
	result := s.PutMany(ctx, []Mail{{env, r}})[0]
	return result.Name, result.Err
}

// Mail is a message for PutMany.
type Mail struct {
	Envelope
	Content io.Reader
}

// PutResult is what Put returns for one message.
type PutResult struct {
	Name string // of the file
	Err  error
}

// PutMany is Put for several messages with few syncs for all. The results are in the order of mails; an error of one
// message does not concern the others.
func (s *Spool) PutMany(ctx context.Context, mails []Mail) []PutResult {
	s.mu.Lock()
	opts := s.opts
	s.mu.Unlock()
	err := s.dirErr
	if err == nil && opts.Create {
		err = spooldir.Create(s.dir, opts.StatusFile)
	}
	items, results := make([]*spooldir.Putting, len(mails)), make([]PutResult, len(mails))
	for i := range mails {
		if items[i] = mails[i].putting(ctx, opts); err != nil {
			items[i].Err = err
		}
		items[i].Used = func() bool { return wasSent(s, items[i].Fixed) }
	}
	if s.dirErr == nil {
		s.dir.PutAll(items)
	}
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	for i, item := range items {
		results[i] = PutResult{item.Name, putError(item.Err)}
		if current != nil && item.Err == nil {
			current.engine.Arrived(item.Name) // in case the system does not notify
		}
	}
	return results
}

// wasSent reports whether the Run of this process or .spoolgore.sent knows of an acceptance of the message name.
func wasSent(s *Spool, name string) bool {
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	sent := current != nil && current.engine.Accepted(name)
	if !sent {
		sent, _ = s.sent.Has(name) // the file is for people: without it a second copy may be sent
	}
	return sent
}

// putting returns m in the terms of the spool directory.
func (m *Mail) putting(ctx context.Context, opts Options) *spooldir.Putting {
	line, err := message.Envelope(m.Envelope).AppendLine(nil)
	limit, most := opts.MaxSize, cmp.Or(opts.MaxRecipients, record.MaxRecipients)
	if n := len(m.To); err == nil && n > most {
		err = fmt.Errorf("%w: %d recipients, more than %d", ErrTooLarge, n, most)
	}
	return &spooldir.Putting{Fixed: spooldir.NameOfID(m.ID), Err: err, Write: func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		in := guard.Reader(ctx, m.Content)
		if limit > 0 {
			in = io.LimitReader(in, max(limit, limit+1)) // limit+1 of the largest limit is negative
		}
		n, err := io.Copy(w, in)
		if err == nil && limit > 0 && n > limit {
			err = fmt.Errorf("%w: more than %d octets", ErrTooLarge, limit)
		}
		return err
	}}
}

// putError returns err with the errors of this package in place of those of others.
func putError(err error) error {
	bad := new(message.AddressError)
	switch {
	case err == nil:
		return nil
	case guard.IsReaderError(err):
	case errors.As(err, &bad):
		err = (*AddressError)(bad)
	case errors.Is(err, message.ErrNoRecipient):
		err = fmt.Errorf("%w: %w", ErrEnvelope, ErrNoRecipients)
	case errors.Is(err, message.ErrHeaderTooLong):
		err = fmt.Errorf("%w: %w: %w", ErrEnvelope, ErrTooLarge, err)
	case errors.Is(err, message.ErrEnvelope):
		err = fmt.Errorf("%w: %w", ErrEnvelope, err)
	case errors.Is(err, spooldir.ErrTaken):
		err = ErrDuplicate
	case spooldir.IsFull(err):
		err = fmt.Errorf("%w: %w", ErrSpoolFull, err)
	case errors.Is(err, ErrTooLarge):
	case errors.Is(err, syscall.EFBIG):
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	default:
		err = fmt.Errorf("%w: %w", ErrSpool, err)
	}
	return fmt.Errorf("spoolgore: put: %w", err)
}

// Send is Put for a message in memory. With Send a *Spool is an enmime Sender, as for the Send method of an enmime
// MailBuilder.
func (s *Spool) Send(reversePath string, recipients []string, msg []byte) error {
	_, err := s.Put(context.Background(), Envelope{From: reversePath, To: recipients}, bytes.NewReader(msg))
	return err
}

// Flush scans the directory and makes an attempt for every waiting message now, before its next attempt is due and
// also with relays that rest. Flush does not wait for the outcome. Between runs, Flush is for the next Run.
func (s *Spool) Flush() {
	do(s, func(c *engine.Control, done func()) {
		c.Flush()
		done()
	}, func() { s.flush = true })
}

// Pause writes the status file, and stops scanning, sending and writing the file until Resume, so that people can edit
// the file. Running transactions go on, and their outcomes are kept. After a Pause between runs, the next Run starts
// paused.
func (s *Spool) Pause() {
	do(s, func(c *engine.Control, done func()) { c.Pause(done) }, func() { s.paused = true })
}

// Resume ends a pause. Resume does not read the status file and will overwrite edits: call Reload before.
func (s *Spool) Resume() {
	do(s, func(c *engine.Control, done func()) {
		c.Resume()
		done()
	}, func() { s.paused = false })
}

// Reload reads the status file, edited during a pause, and takes over its content: states, attempts, next attempts and
// recipients. Only outcomes since the pause are kept. Reload does not end the pause. Without a pause Reload takes over
// edits too, but keeps all acceptances, all outcomes since the spool last wrote the file, and messages that are missing
// from the file. If the file cannot be read or parsed, Reload returns an error and changes no message.
func (s *Spool) Reload() error {
	if err := reload(s); err != nil {
		return fmt.Errorf("spoolgore: reload: %w", err)
	}
	return nil
}

func reload(s *Spool) error {
	var paused bool
	var written time.Time
	var path string
	var err error
	var run *engine.Control
	do(s, func(c *engine.Control, done func()) {
		run, paused, path, written = c, c.Paused(), c.StatusFile(), c.Written()
		done()
	}, func() { // the next Run reads the file anyway: only check the file now
		if path, err = spooldir.StatusPath(s.dir, s.opts.StatusFile); err == nil {
			err = engine.ReadStatus(s.dir, path, func(string, *record.Message) {})
		}
		if err == nil {
			s.changes++
		}
	})
	if run == nil {
		return err
	}
	if edited, err := run.Edited(paused); err != nil || !edited {
		return err // an unchanged file, perhaps with a million messages, need not be read
	}
	edits := queue.NewEdits(time.Now())
	err = engine.ReadStatus(s.dir, path, func(key string, m *record.Message) {
		edits.Add(record.FileName(key, m), m)
	})
	if err != nil {
		return err
	}
	do(s, func(c *engine.Control, done func()) { c.Reload(edits, written, paused, done) }, func() { s.changes++ })
	return nil
}

// Reconfigure changes the options, also for waiting messages. Between runs, the options are for the next Run. After
// an error all options stay as they were: an option is wrong, or StatusFile differs, which cannot change during a Run.
//
// A relay with the same settings keeps its connections, its health and its learnt limits (see SMTP.Version). A relay
// with other settings finishes its running transactions, and then closes its connections. Recipients already counted
// for Rate stay counted. Dial is used for new relays; a new LocalName is used for reports and Message-IDs from the
// next Run on.
func (s *Spool) Reconfigure(opts Options) error {
	if s.dirErr != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", s.dirErr)
	}
	eo, err := opts.engine(s.dir, &s.watchers)
	if err != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", err)
	}
	do(s, func(c *engine.Control, done func()) {
		defer done()
		if err = c.Reconfigure(eo); err == nil {
			s.mu.Lock()
			s.opts = opts
			s.mu.Unlock()
		}
	}, func() {
		if err = engine.Check(eo); err == nil {
			s.opts = opts
			s.changes++
		}
	})
	if err != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", err)
	}
	return nil
}

// Status returns a snapshot of all messages: by the absolute path of the file, the state of the recipients. Between
// runs Status returns the content of the status file. The result belongs to the caller.
func (s *Spool) Status() Status {
	status := Status{}
	var finish func()
	do(s, func(c *engine.Control, done func()) {
		c.Snapshot(func(records func() []queue.Named, causes func(*record.Message) func(to string) string) {
			finish = func() { maps.Copy(status, statusOf(s.dir, records(), causes, time.Now())) }
			done()
		})
	}, func() {
		path, err := spooldir.StatusPath(s.dir, s.opts.StatusFile)
		read := Status{}
		add := func(key string, m *record.Message) { read[key] = *messageOf(m) }
		if err == nil && engine.ReadStatus(s.dir, path, add) == nil {
			status = read
		}
	})
	if finish != nil {
		finish()
	}
	return status
}

// Health returns the state of the run and of the relays. It is cheap.
func (s *Spool) Health() (h Health) {
	do(s, func(c *engine.Control, done func()) {
		h = healthOf(c.Health(), c.Senders())
		done()
	}, func() {})
	if s.dirErr == nil {
		s.mu.Lock()
		h.StatusFile, _ = spooldir.StatusPath(s.dir, s.opts.StatusFile)
		h.Dir, h.TemporaryNames = s.dir.Path(), slices.Clone(s.opts.TemporaryNames)
		s.mu.Unlock()
	}
	return h
}

// Observe has f called with every event after Options.OnEvent, under the same rules, until remove is called.
func (s *Spool) Observe(f func(Event)) (remove func()) { return s.watchers.Add(f) }

// Hold moves a message of the spool to hold/: it is not sent, and its age does not grow. A transaction in progress goes
// on.
func (s *Spool) Hold(name string) error {
	return control(s, "hold", func(c *mailq.Control) error { return c.Move(name, spooldir.Spool, spooldir.Hold) })
}

// Release moves a message back from hold/ into the spool.
func (s *Spool) Release(name string) error {
	return control(s, "release", func(c *mailq.Control) error { return c.Move(name, spooldir.Hold, spooldir.Spool) })
}

// Retry has a message of the spool tried now, or moves a message back from failed/ into the spool, from where it goes
// to the recipients who had failed. A message in a transaction is left alone.
func (s *Spool) Retry(place Place, name string) error {
	return control(s, "retry", func(c *mailq.Control) error { return c.Retry(spooldir.Place(place), name) })
}

// Redirect gives a message another recipient: the address to takes the place of all recipients that have not got the
// message. A waiting message is tried now, a held one stays held, and one in failed/ moves back into the spool. The
// fields To and Cc stay as they are. A bad address is an *AddressError.
func (s *Spool) Redirect(place Place, name, to string) error {
	return control(s, "redirect", func(c *mailq.Control) error {
		address, err := message.Canonical(to)
		if err != nil {
			return &AddressError{Address: to, Err: err}
		}
		return c.Redirect(spooldir.Place(place), name, address)
	})
}

// Delete removes a message for good, from failed/ with its why-file. No report is sent. A transaction in progress goes
// on.
func (s *Spool) Delete(place Place, name string) error {
	return control(s, "delete", func(c *mailq.Control) error { return c.Delete(spooldir.Place(place), name) })
}

// control has act change a message, as the command of that name does.
func control(s *Spool, name string, act func(*mailq.Control) error) error {
	s.mu.Lock()
	temporary := s.opts.TemporaryNames
	s.mu.Unlock()
	err := s.dirErr
	if err == nil {
		err = act(&mailq.Control{
			Dir: s.dir, View: func() (*mailq.View, error) { return viewOf(s) }, Temporary: temporary,
			Rescan: func(retried string) {
				do(s, func(c *engine.Control, done func()) { c.Rescan(retried); done() }, func() {})
			},
			InFlight: func(name string) (is bool) {
				do(s, func(c *engine.Control, done func()) { is = c.InFlight(name); done() }, func() {})
				return is
			},
		})
	}
	if err != nil {
		err = fmt.Errorf("spoolgore: %s: %w", name, err)
	}
	return err
}
