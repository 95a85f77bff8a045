// Package msgfile opens one message file of a spool: a complete, regular file of the expected version. Everything is
// read from one open file, also the content that is sent.
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
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/mbox"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// ErrUnusable is in the error of a file that no attempt can send.
var ErrUnusable = errors.New("not a message that can be sent")

// ErrSeveral is in the error of a file that holds several messages. Such a file is never sent as one message.
var ErrSeveral = errors.New("holds several messages; spoolgore put splits it")

// ErrLoop is in the error of a message that has passed too many hosts: the message is in a mail loop.
var ErrLoop = fmt.Errorf("loop: more than %d Received fields", MaxHops)

// MaxHops is the maximum number of Received fields of a message. Sendmail and Postfix have limits of 25 and 50.
const MaxHops = 50

// File is an open message file whose header block was read. Close it after use.
type File struct {
	ID       spooldir.ID
	Header   *message.Header
	Envelope *message.Envelope // from the envelope line or the top block; nil: the header is the envelope

	Arrival    time.Time // when the message was first seen; zero: unknown
	PickupDots bool      // lines of pickup files are dot-stuffed

	Sent *rewrite.Header // fields that are sent in place of those of the file; nil: those of the file

	file   fsys.File
	window *window // nil: the file is read from the disk

	mu       sync.Mutex // a Transport may read in another goroutine, and after its deadline
	contents []*message.Content
	closed   bool
	size     int64  // size of Content in bytes, set by Measure
	sum      uint64 // checksum of the last complete Content, see Sum
	changed  bool   // see Changed
}

// UID returns the result of UserOf in decimal; empty: files have no owners.
func (m *File) UID() string {
	if !spooldir.HasOwners {
		return ""
	}
	return strconv.FormatUint(uint64(UserOf(m)), 10)
}

// UserOf returns the user id whose message the file is: that of the owner, or the one in the envelope line of a file
// that the daemon itself has written. The daemon writes the messages of -listen.
func UserOf(m *File) uint32 {
	if m.Envelope == nil || m.Envelope.UID == "" || int64(m.ID.User) != int64(os.Geteuid()) {
		return m.ID.User
	}
	if n, err := strconv.ParseUint(m.Envelope.UID, 10, 32); err == nil {
		return uint32(n)
	}
	return m.ID.User
}

// A Look has the facts that decide whether a file is complete.
type Look struct {
	Known  spooldir.ID   // last known version; may be zero
	Since  time.Time     // time when the version Known was first seen
	Now    time.Time     // the time of this look
	Settle time.Duration // time without a change after which a file that was written in place is complete
	How    spooldir.How  // how the file got its name
}

// SeenSince returns the time when the version id was first seen.
func (l Look) SeenSince(id spooldir.ID) time.Time {
	if id.Equal(l.Known) {
		return l.Since
	}
	return l.Now
}

// Open opens the message file name of dir. The errors are those of spooldir's Open and Free, spooldir.ErrUnsettled,
// [message.ErrHeaderTooLong], ErrSeveral, ErrLoop, and ErrUnusable.
func Open(dir *spooldir.Dir, name string, look Look) (*File, error) {
	f, id, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	m := &File{ID: id, file: f, window: &window{file: f, size: id.Size}}
	look.Since = look.SeenSince(id)
	if err := m.read(name, look); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Reopen opens the version id of the message file name after an earlier Open. The error is spooldir.ErrChanged if the
// file has another version. A later change of the file is detected before the file is removed.
func Reopen(dir *spooldir.Dir, name string, id spooldir.ID) (*File, error) {
	f, err := dir.Reopen(name, id)
	if err != nil {
		return nil, err
	}
	return load(f, id)
}

// OpenFailed opens a message in failed/. The errors are those of spooldir's OpenFailed, [message.ErrHeaderTooLong], and
// ErrUnusable.
func OpenFailed(dir *spooldir.Dir, name string) (*File, error) {
	f, id, err := dir.Failed().Open(name)
	if err != nil {
		return nil, err
	}
	return load(f, id)
}

// OpenIn opens the file name in a place of the spool, complete or not. The errors are those of spooldir's OpenReadOn,
// [message.ErrHeaderTooLong], and ErrUnusable.
func OpenIn(dir *spooldir.Dir, place spooldir.Place, name string) (*File, error) {
	f, err := spooldir.OpenReadOn(dir.FS(), dir.At(place, name))
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return load(f, spooldir.IDOf(fi))
}

// load reads the header and the envelope of the version id. It closes f on error.
func load(f fsys.File, id spooldir.ID) (m *File, err error) {
	m = &File{ID: id, file: f, window: &window{file: f, size: id.Size}}
	if m.Header, err = message.ReadHeader(m.window, id.Size); err == nil {
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

// read reads the header of a complete file: a renamed file, or a file without a change for the settle time. A file with
// an envelope line and a name of Put counts as complete at once, because Put builds such a file under another name. So
// does a linked file, if the system can tell that the file has no writer.
func (m *File) read(name string, look Look) error {
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
	if m.Header, err = message.ReadHeader(m.window, m.ID.Size); err != nil {
		return err
	}
	if m.Envelope, err = m.Header.Envelope(m.ID.ModTime); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	linked := look.How == spooldir.Created && m.Header.Complete()
	put := m.Header.HasEnvelopeLine() && spooldir.IsPutName(name)
	if !settled && !put && !linked {
		return spooldir.ErrUnsettled
	}
	if m.Header.Count("Received") > MaxHops {
		return ErrLoop
	}
	return m.checkSingle()
}

// checkSingle returns ErrSeveral if the file holds more than one message. A file with an envelope line holds one
// message.
func (m *File) checkSingle() error {
	if m.Header.HasEnvelopeLine() {
		return nil
	}
	kind, err := mbox.Detect(m.window, m.ID.Size)
	if err == nil && kind != mbox.Single {
		err = ErrSeveral
	}
	return err
}

// Addresses returns the sender and the recipients. The error is ErrUnusable if the message has no sender or no
// recipient.
func (m *File) Addresses() (message.Addresses, error) {
	m.Header.Parser = enmime.ParseAddressList
	a := m.Header.Addresses()
	if len(a.To)+len(a.Cc)+len(a.Bcc) == 0 {
		return a, fmt.Errorf("%w: %s", ErrUnusable, noRecipients(m))
	}
	if a.FromErr != nil {
		return a, fmt.Errorf("%w: %w", ErrUnusable, a.FromErr)
	}
	return a, nil
}

// noRecipients returns the reason why the message has no recipient. Windows PowerShell redirects output as UTF-16.
func noRecipients(m *File) string {
	var mark [2]byte
	if n, _ := m.file.ReadAt(mark[:], 0); n == 2 && (string(mark[:]) == "\xff\xfe" || string(mark[:]) == "\xfe\xff") {
		return "the file is UTF-16 text; a message is ASCII or UTF-8 text"
	}
	return "no recipients: no address in To, Cc, Bcc or an envelope line"
}

// MessageID returns the Message-ID of the header. Without one it returns an id made of the inode, size and time of this
// version of the file.
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

// maxID is the length in bytes up to which a Message-ID is kept unchanged.
const maxID = 250

// bounded returns id, or a short text if id is too long or is not valid UTF-8, which JSON needs. Different ids have
// different texts.
func bounded(id string) string {
	if len(id) <= maxID && utf8.ValidString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToValidUTF8(id[:min(len(id), 60)], "?") + "#" + hex.EncodeToString(sum[:16])
}

// Host returns the host for the Message-ID of a message without a sender: localName or, if that is empty, the name of
// this host.
func Host(localName string) string {
	if localName != "" {
		return localName
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "localhost"
}

// HasUTF8Header reports whether a byte of the header that is sent is above 127.
func (m *File) HasUTF8Header() bool {
	if m.Sent != nil {
		return m.Sent.EightBit
	}
	return m.Header.EightBit()
}

// HasMessageID reports whether the header has a Message-ID.
func (m *File) HasMessageID() bool { return m.Header.Get("Message-ID") != "" }

// BodyDigest returns a digest of the first MiB of the body. The header does not count.
func (m *File) BodyDigest() (string, error) {
	const most = 1 << 20
	r := bufio.NewReader(m.Content("<x>"))
	for { // skip the header as it is sent
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

// date returns the date of a message without a Date field: the modification time of the file. If that time is more than
// a day away from the arrival, date returns the arrival: a copied file may have the time of its original.
func (m *File) date() time.Time {
	const day = 24 * time.Hour
	if away := m.ID.ModTime.Sub(m.Arrival).Abs(); !m.Arrival.IsZero() && away > day {
		return m.Arrival.Local()
	}
	return m.ID.ModTime
}

// Identity returns a text that is the same for this version of the file under any name, and another one for any other
// message: a hash of the header, the inode, the size and the time.
func (m *File) Identity() string {
	text := fmt.Appendf(nil, "%s %d %d %d", m.Header.Digest(), m.ID.Ino, m.ID.Size, m.ID.ModTime.UnixNano())
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Close closes the file and all readers of Content.
func (m *File) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, c := range m.contents {
		c.Close()
	}
	if m.window != nil {
		m.window.release()
	}
	m.file.Close() // the file was only read: an error does not matter
}
