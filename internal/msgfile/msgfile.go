// Package msgfile opens one message file of a spool: complete, a regular file, and the one that is meant. What is
// read of it, and sent, comes from that one open file.
package msgfile

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// ErrUnusable is in the error of a file that cannot be sent as it is, however often it is tried.
var ErrUnusable = errors.New("not a message that can be sent")

// File is an open message file whose header block was read. Close it after use.
type File struct {
	ID       spooldir.ID
	Header   *message.Header
	Envelope *message.Envelope // of the envelope line; nil: the header is the envelope
	file     *os.File
	contents []*message.Content
}

// Open opens the message file name of dir. known is the version of it that was seen at the time since; both may be
// zero. The errors are those of spooldir's Open and Settled, [message.ErrHeaderTooLong], and ErrUnusable.
func Open(dir *spooldir.Dir, name string, known spooldir.ID, since, now time.Time) (*File, error) {
	f, id, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	m := &File{ID: id, file: f}
	if !id.Equal(known) {
		since = now
	}
	if err := m.read(dir, since, now); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *File) read(dir *spooldir.Dir, since, now time.Time) error {
	if err := dir.Settled(m.file, m.ID, since, now); err != nil {
		return err
	}
	settled := m.ID.Quiet(since, now)
	if m.ID.Size == 0 {
		if !settled {
			return fmt.Errorf("empty file: %w", spooldir.ErrUnsettled)
		}
		return fmt.Errorf("%w: the file is empty", ErrUnusable)
	}
	var err error
	if m.Header, err = message.ReadHeader(m.file, m.ID.Size); err != nil {
		return err
	}
	if m.Envelope, err = m.Header.Envelope(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	// A program may write the header, close the file, and append the body later. An envelope line is written by those
	// who build the file elsewhere and rename it.
	if m.Envelope == nil && !m.Header.Complete() && !settled {
		return fmt.Errorf("no body yet: %w", spooldir.ErrUnsettled)
	}
	return nil
}

// Addresses returns whom the message is from and to, and ErrUnusable if it has no sender or nobody to go to.
func (m *File) Addresses() (message.Addresses, error) {
	a := m.Header.Addresses()
	if len(a.To)+len(a.Cc)+len(a.Bcc) == 0 {
		return a, fmt.Errorf("%w: no recipients: no address in To, Cc, Bcc or an envelope line", ErrUnusable)
	}
	if a.FromErr != nil {
		return a, fmt.Errorf("%w: no sender: %w", ErrUnusable, a.FromErr)
	}
	return a, nil
}

// MessageID is the Message-ID of the header or, where there is none, one that this version of the file will always get.
func (m *File) MessageID(from, host string) string {
	if id := m.Header.Get("Message-ID"); id != "" {
		return id
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

// Content returns the message as it goes out, from its beginning. It may be called again to read it again; what it
// returned is good until Close. The date of a message without one is that of its file, so that a retry carries the same.
func (m *File) Content(messageID string) io.Reader {
	c := m.Header.Content(m.file, m.ID.Size, message.Added{Date: m.ID.ModTime, MessageID: messageID})
	m.contents = append(m.contents, c)
	return c
}

// Close closes the file and everything that Content returned.
func (m *File) Close() {
	for _, c := range m.contents {
		c.Close()
	}
	m.file.Close() // it was only read: nothing can be lost by an error here
}
