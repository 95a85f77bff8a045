package msgfile

import (
	"hash/maphash"
	"io"
	"io/fs"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// seed is the seed of all content sums of this process.
var seed = maphash.MakeSeed()

// Content returns a reader of the message as it is sent. Each call starts at the beginning; Close ends all readers. A
// message without a Date gets the date of the file, so that all attempts send the same message.
//
// Before the last octet of the message the file is compared with the version ID. If the content has changed, the read
// fails with spooldir.ErrChanged: no relay may accept a mixture of two versions.
func (m *File) Content(messageID string) io.Reader {
	c := m.content(messageID)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contents = append(m.contents, c)
	r := &content{file: m, from: c, messageID: messageID}
	if m.unstuffs() {
		r.from = message.Unstuff(c)
	}
	r.sum.SetSeed(seed)
	if m.Sent == nil {
		return r
	}
	front := m.Header.Front(message.Added{Date: m.date(), MessageID: messageID})
	return message.Splice(r, int64(len(front)), m.Sent.Was, m.Sent.Fields)
}

// content is a reader of Content.
type content struct {
	file      *File
	from      io.Reader
	messageID string
	n         int64 // bytes read so far
	sum       maphash.Hash
	compared  bool // the file was compared with its version
	err       error
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	m := c.file
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return 0, fs.ErrClosed
	case c.err != nil:
		return 0, c.err
	}
	n, err := c.from.Read(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	if !c.compared && (err == io.EOF || c.n == m.size) {
		c.compared = true
		if m.window != nil && !m.unstuffs() {
			m.window.release()
		}
		if c.err = m.compare(c.sum.Sum64(), c.messageID); c.err != nil {
			return 0, c.err
		}
	}
	return n, err
}

// compare returns spooldir.ErrChanged unless the file still has the content with the checksum sum. A new modification
// time alone is no change. The caller holds the lock.
func (m *File) compare(sum uint64, messageID string) error {
	fi, err := m.file.Stat()
	if err != nil {
		return err
	}
	now := spooldir.IDOf(fi)
	switch {
	case now.Size == m.ID.Size && now.ModTime.Equal(m.ID.ModTime):
	case now.Size == m.ID.Size && m.again(messageID) == sum:
	default:
		m.changed = true
		return &fs.PathError{Op: "send", Path: m.file.Name(), Err: spooldir.ErrChanged}
	}
	m.sum = sum
	return nil
}

// again reads the file once more and returns the checksum of its content; zero if the file cannot be read.
func (m *File) again(messageID string) uint64 {
	other := &File{ID: m.ID, Arrival: m.Arrival, PickupDots: m.PickupDots, file: m.file}
	var err error
	if other.Header, err = message.ReadHeader(m.file, m.ID.Size); err != nil {
		return 0
	}
	var r io.Reader = other.content(messageID)
	if other.unstuffs() {
		r = message.Unstuff(r)
	}
	var sum maphash.Hash
	sum.SetSeed(seed)
	if _, err := io.Copy(&sum, r); err != nil {
		return 0
	}
	return sum.Sum64()
}

// Sum returns the checksum of the last content that was read completely; zero if there is none.
func (m *File) Sum() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
}

// Changed reports whether Content has found the file changed.
func (m *File) Changed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// SameContent reports whether m has the same content as the version id that was sent, of which sum is the checksum.
// Such a file only has another modification time.
func (m *File) SameContent(id spooldir.ID, messageID string, sum uint64) bool {
	if sum == 0 || m.ID.Size != id.Size {
		return false
	}
	sent := &File{ID: id, Arrival: m.Arrival, PickupDots: m.PickupDots, file: m.file}
	return sent.again(messageID) == sum
}

func (m *File) content(messageID string) *message.Content {
	var from io.ReaderAt = m.file
	if m.window != nil {
		from = m.window
	}
	return m.Header.Content(from, m.ID.Size, message.Added{Date: m.date(), MessageID: messageID})
}

func (m *File) unstuffs() bool { return m.PickupDots && m.Header.FromPickup() }

// Measure returns the size of Content in bytes, and whether an octet of it is above 127.
func (m *File) Measure(messageID string) (size int64, eightBit bool, err error) {
	c := m.content(messageID)
	if !m.unstuffs() {
		size, eightBit, err = c.Measure()
	} else {
		defer c.Close()
		size, eightBit, err = message.MeasureReader(message.Unstuff(c))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size = size
	if m.Sent != nil {
		size, eightBit = size+m.Sent.Size-m.Sent.Was, eightBit || m.Sent.EightBit
	}
	return size, eightBit, err
}
