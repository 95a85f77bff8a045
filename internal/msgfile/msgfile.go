// Package msgfile opens one message file of a spool: complete, a regular file, and the one that is meant. What is
// read of it, and sent, comes from that one open file.
package msgfile

import (
	"bufio"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/mbox"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// ErrUnusable is in the error of a file that cannot be sent as it is, however often it is tried.
var ErrUnusable = errors.New("not a message that can be sent")

// ErrSeveral is in the error of a file that holds several messages. Such a file is never sent as one.
var ErrSeveral = errors.New("holds several messages; spoolgore put splits it")

// ErrLoop is in the error of a message that has passed too many hosts: it comes back again and again.
var ErrLoop = fmt.Errorf("loop: more than %d Received fields", maxHops)

// maxHops is the number of Received fields that a message may have. Sendmail and Postfix have limits of 25 and 50.
const maxHops = 50

// File is an open message file whose header block was read. Close it after use.
type File struct {
	ID       spooldir.ID
	Header   *message.Header
	Envelope *message.Envelope // of the envelope line or the top block; nil: the header is the envelope

	Arrival    time.Time // when the message was first seen; zero: unknown
	PickupDots bool      // lines of pickup files are dot-stuffed

	file fsys.File

	mu       sync.Mutex // a Transport may read in another goroutine, and after its time
	contents []*message.Content
	closed   bool
	size     int64  // of Content, if it was measured
	sum      uint64 // of what Content has given last, see Sum
	changed  bool   // see Changed
}

// A Look is what decides whether a file is complete.
type Look struct {
	Known  spooldir.ID   // version that was seen before; may be zero
	Since  time.Time     // when that was
	Now    time.Time     // the time of this look
	Settle time.Duration // time without a change after which a file that was written in place is complete
	How    spooldir.How  // how the file came to its name
}

// SeenSince returns the time since which the version id was seen.
func (l Look) SeenSince(id spooldir.ID) time.Time {
	if id.Equal(l.Known) {
		return l.Since
	}
	return l.Now
}

// Open opens the message file name of dir. The errors are those of spooldir's Open and Free, spooldir.ErrUnsettled,
// [message.ErrHeaderTooLong], ErrSeveral, ErrLoop, and
// ErrUnusable.
func Open(dir *spooldir.Dir, name string, look Look) (*File, error) {
	f, id, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	m := &File{ID: id, file: f}
	look.Since = look.SeenSince(id)
	if err := m.read(look); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Reopen opens the version id of the message file name, which Open has found complete; spooldir.ErrChanged if there is
// another one now. Whoever changes it from here on makes it another message, which is seen when it is to be removed.
func Reopen(dir *spooldir.Dir, name string, id spooldir.ID) (*File, error) {
	f, err := dir.Reopen(name, id)
	if err != nil {
		return nil, err
	}
	return load(f, id)
}

// OpenFailed opens a message in failed/. Errors: those of spooldir's OpenFailed, [message.ErrHeaderTooLong], and
// ErrUnusable.
func OpenFailed(dir *spooldir.Dir, name string) (*File, error) {
	f, id, err := dir.Failed().Open(name)
	if err != nil {
		return nil, err
	}
	return load(f, id)
}

// load reads the header and the envelope of the version id. It closes f if it fails.
func load(f fsys.File, id spooldir.ID) (m *File, err error) {
	m = &File{ID: id, file: f}
	if m.Header, err = message.ReadHeader(f, id.Size); err == nil {
		if m.Envelope, err = m.Header.Envelope(id.ModTime); err != nil {
			err = fmt.Errorf("%w: %w", ErrUnusable, err)
		}
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// read reads the header of a file that is complete: one that was renamed, or that has not changed for a while. A file
// with an envelope line comes from a program that builds it elsewhere; so does one that was linked, if the system can
// tell that it has no writer.
func (m *File) read(look Look) error {
	free, err := spooldir.Free(m.file, m.ID)
	if err != nil {
		return err
	}
	settled := look.How == spooldir.Renamed || m.ID.Quiet(look.Since, look.Now, look.Settle)
	switch {
	case m.ID.Size == 0 && settled:
		return fmt.Errorf("%w: the file is empty", ErrUnusable)
	case m.ID.Size == 0 || !settled && (!free || look.How == spooldir.Written):
		return spooldir.ErrUnsettled
	}
	if m.Header, err = message.ReadHeader(m.file, m.ID.Size); err != nil {
		return err
	}
	if m.Envelope, err = m.Header.Envelope(m.ID.ModTime); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	linked := look.How == spooldir.Created && m.Header.Complete()
	if !settled && !m.Header.HasEnvelopeLine() && !linked {
		return spooldir.ErrUnsettled
	}
	if m.Header.Count("Received") > maxHops {
		return ErrLoop
	}
	return m.checkSingle()
}

// checkSingle returns ErrSeveral if there is more than one message in the file. An envelope line belongs to one
// message.
func (m *File) checkSingle() error {
	if m.Header.HasEnvelopeLine() {
		return nil
	}
	kind, err := mbox.Detect(m.file, m.ID.Size)
	if err == nil && kind != mbox.Single {
		err = ErrSeveral
	}
	return err
}

// Addresses returns whom the message is from and to, and ErrUnusable if it has no sender or nobody to go to.
func (m *File) Addresses() (message.Addresses, error) {
	m.Header.Parser = enmime.ParseAddressList
	a := m.Header.Addresses()
	if len(a.To)+len(a.Cc)+len(a.Bcc) == 0 {
		return a, fmt.Errorf("%w: no recipients: no address in To, Cc, Bcc or an envelope line", ErrUnusable)
	}
	if a.FromErr != nil {
		return a, fmt.Errorf("%w: no sender: %w", ErrUnusable, a.FromErr)
	}
	return a, nil
}

// MessageID returns the Message-ID of the header or, if there is none, one that depends on this version of the file
// only.
func (m *File) MessageID(from, host string) string {
	if id := m.Header.Get("Message-ID"); id != "" {
		return bounded(id)
	}
	if at := strings.LastIndexByte(from, '@'); at >= 0 && !message.HasUTF8(from) {
		host = from[at+1:]
	}
	var b [24]byte
	binary.BigEndian.PutUint64(b[:], m.ID.Ino)
	binary.BigEndian.PutUint64(b[8:], uint64(m.ID.Size))
	binary.BigEndian.PutUint64(b[16:], uint64(m.ID.ModTime.UnixNano()))
	sum := sha256.Sum256(b[:])
	return "<" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15])) + ".spoolgore@" + host + ">"
}

// maxID is the longest Message-ID that is kept as it is, in bytes.
const maxID = 250

// bounded returns id, or a short text for an id that is long or that JSON cannot hold. Different ids have different
// texts.
func bounded(id string) string {
	if len(id) <= maxID && utf8.ValidString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToValidUTF8(id[:min(len(id), 60)], "?") + "#" + hex.EncodeToString(sum[:16])
}

// Host is the host that a Message-ID names whose message has no sender: localName or, if that is empty, this one.
func Host(localName string) string {
	if localName != "" {
		return localName
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "localhost"
}

// HasMessageID reports whether the header has a Message-ID.
func (m *File) HasMessageID() bool { return m.Header.Get("Message-ID") != "" }

// BodyDigest tells bodies apart by their first MiB, whatever the header says.
func (m *File) BodyDigest() (string, error) {
	const most = 1 << 20
	r := bufio.NewReader(m.Content("<x>"))
	for { // the header, as it would go out
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return "", err
		}
		if string(line) == "\r\n" {
			break
		}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(r, most)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:12]), nil
}

// date returns the date of a message without a Date: the time of the file or, where that is more than a day away from
// the arrival, the arrival. A copied file may have the time of its original.
func (m *File) date() time.Time {
	const day = 24 * time.Hour
	if away := m.ID.ModTime.Sub(m.Arrival).Abs(); !m.Arrival.IsZero() && away > day {
		return m.Arrival.Local()
	}
	return m.ID.ModTime
}

// Close closes the file and everything that Content returned.
func (m *File) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, c := range m.contents {
		c.Close()
	}
	m.file.Close() // it was only read: nothing can be lost by an error here
}
