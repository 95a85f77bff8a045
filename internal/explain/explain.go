// Package explain shows what would happen to a message file, and why. It reads the file and chooses the relay with the
// code of the daemon, and has no rules of its own.
package explain

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/sevenbit"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A Plan is what would happen to a message file. Close it after use.
type Plan struct {
	Path string // for the output

	// Waits is why the daemon would not read the file yet; nil: it would.
	Waits error

	// Unusable is why the file cannot be sent; nil: it can. The content of an unusable file is unknown.
	Unusable error

	// Remembered returns the facts that a running daemon has learnt about a relay, for Probe. Nil: none are known.
	Remembered func(relay string) []string

	opts      spoolgore.Options
	now       time.Time
	place     place
	way       way
	file      *msgfile.File
	origin    message.Origin
	addresses message.Addresses
	preamble  string // bytes before the header, which are not sent
	messageID string
	size      int64 // bytes to send
	eightBit  bool
	fixed     error // why 8-bit text cannot be re-encoded; nil: it can
}

// A SettingsError is an error of the options, with which no daemon would start.
type SettingsError struct{ err error }

// Error implements error.
func (e *SettingsError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *SettingsError) Unwrap() error { return e.err }

// Open reads the file at path as a daemon with these options would at the time now. The error means that the file
// cannot be read, or is a *SettingsError. An unusable file is no error, but a part of the plan.
func Open(path string, opts spoolgore.Options, now time.Time) (*Plan, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	dir, err := spooldir.New(filepath.Dir(abs))
	if err != nil {
		return nil, err
	}
	p := &Plan{Path: path, opts: opts, now: now}
	if err := p.read(dir, filepath.Base(abs)); err != nil {
		return nil, err
	}
	p.place = findPlace(dir, filepath.Base(abs), opts)
	if p.Unusable == nil {
		if p.way, err = wayOf(opts, p.addresses); err != nil {
			p.Close()
			return nil, &SettingsError{err}
		}
		if err := p.rewrite(); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// errTemporary is why a file with a temporary name waits.
var errTemporary = errors.New("temporary name, and changed within the last hour")

// Close closes the file.
func (p *Plan) Close() {
	if p.file != nil {
		p.file.Close()
	}
}

func (p *Plan) read(dir *spooldir.Dir, name string) (err error) {
	if !spooldir.Usable(name) {
		p.Unusable = errors.New("the daemon does not look at files whose names begin with a dot")
		return nil
	}
	look := msgfile.Look{Now: p.now, Settle: cmp.Or(p.opts.Settle, spooldir.SettleTime)}
	p.file, err = msgfile.Open(dir, name, look)
	switch {
	case errors.Is(err, spooldir.ErrUnsettled):
		p.Waits, look.How = err, spooldir.Renamed // as if it was settled
		p.file, err = msgfile.Open(dir, name, look)
	case errors.Is(err, spooldir.ErrBeingWritten):
		p.Waits = err
		var id spooldir.ID
		if id, err = dir.Stat(name); err == nil {
			p.file, err = msgfile.Reopen(dir, name, id)
		}
	}
	if p.file != nil && spooldir.IsTemporary(name, p.opts.TemporaryNames) &&
		p.now.Sub(p.file.ID.ModTime) < spooldir.TemporaryTime {
		p.Waits = errTemporary
	}
	if err == nil {
		p.file.PickupDots = p.opts.PickupDots
		err = p.message(dir.File(name))
	}
	for _, cause := range append(noMessage(), msgfile.ErrUnusable, spooldir.ErrNotRegular, spooldir.ErrLinked) {
		if errors.Is(err, cause) {
			p.Unusable = err
			return nil
		}
	}
	return err
}

// noMessage returns the errors of files that the daemon moves to failed/.
func noMessage() []error {
	return []error{message.ErrHeaderTooLong, msgfile.ErrSeveral, msgfile.ErrLoop}
}

// tooMany returns the reason why the daemon gives the message up for the number of its recipients; nil: it does not.
func (p *Plan) tooMany() error {
	if p.Unusable != nil {
		return nil
	}
	limit := cmp.Or(p.opts.MaxRecipients, record.MaxRecipients)
	n := len(p.addresses.To) + len(p.addresses.Cc) + len(p.addresses.Bcc)
	if _, _, done := p.recipients(); n <= limit || done > 0 {
		return nil
	}
	return fmt.Errorf("it has %d recipients, more than %d (-maxrecipients)", n, limit)
}

// message reads the message in the file.
func (p *Plan) message(path string) (err error) {
	p.origin = p.file.Header.Origin()
	if p.addresses, err = p.file.Addresses(); err != nil {
		return err
	}
	p.messageID = p.file.MessageID(p.addresses.From, msgfile.Host(p.opts.LocalName))
	if p.size, p.eightBit, err = p.file.Measure(p.messageID); err != nil {
		return err
	}
	if p.eightBit {
		if _, _, p.fixed = sevenbit.Convert(p.content); p.fixed != nil && !errors.Is(p.fixed, sevenbit.ErrSigned) &&
			!errors.Is(p.fixed, sevenbit.ErrBroken) {
			return p.fixed
		}
	}
	p.preamble, err = beginning(path, p.file.Header.Start())
	return err
}

func (p *Plan) content() io.Reader { return p.file.Content(p.messageID) }

// beginning returns the first n bytes of a file.
func beginning(path string, n int64) (string, error) {
	if n == 0 {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text := make([]byte, n)
	if _, err := io.ReadFull(f, text); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return string(text), nil
}

// recipients returns the recipients to send to, in the order To, Cc, Bcc, the number of bad addresses, and the number
// of recipients that are done according to the spool.
func (p *Plan) recipients() (to []string, bad, done int) {
	for _, list := range [][]message.Address{p.addresses.To, p.addresses.Cc, p.addresses.Bcc} {
		for _, a := range list {
			switch {
			case a.Err != nil:
				bad++
			case p.isDone(a.Addr):
				done++
			default:
				to = append(to, a.Addr)
			}
		}
	}
	return to, bad, done
}

// isDone reports whether a recipient is done. A recipient that was given up is tried again after the message came back
// from failed/.
func (p *Plan) isDone(addr string) bool {
	if m := p.place.message; m != nil && p.knows(m) {
		r := p.place.find(m, addr)
		return r != nil && r.Status == record.Done
	}
	if f := p.place.failure; f != nil && f.MessageID == p.messageID {
		r := p.place.find(&f.Message, addr)
		return r != nil && r.Accepted()
	}
	return false
}

// knows reports whether m, of the status file, describes this version of the file. The 2014 tool wrote no version.
func (p *Plan) knows(m *record.Message) bool {
	size, modified, inode := int64(-1), time.Time{}, uint64(0) // a version without a record
	if p.file != nil {
		size, modified, inode = p.file.ID.Size, p.file.ID.ModTime, p.file.ID.Ino
	}
	match := m.Describes(size, modified, inode)
	return match == record.ThisVersion || match == record.NoVersion
}

// Sendable reports whether the file is a message, and every recipient an address.
func (p *Plan) Sendable() bool {
	_, bad, _ := p.recipients()
	return p.Unusable == nil && bad == 0 && p.tooMany() == nil
}
