package smtpclient

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// writeRecorder is a connection that records what is written.
type writeRecorder struct {
	net.Conn
	bytes.Buffer
	writes int
}

func (r *writeRecorder) Write(p []byte) (int, error) {
	r.writes++
	return r.Buffer.Write(p)
}

func (r *writeRecorder) Read([]byte) (int, error)    { panic("nothing is read") }
func (r *writeRecorder) SetDeadline(time.Time) error { return nil }

// directly sends content as a large message in pieces of limit octets. A read returns at most most octets.
func directly(content []byte, limit, most int) (*writeRecorder, error) {
	r := &writeRecorder{}
	p := &pipeline{wire: &wire{nc: r}, steps: []step{{x: &transaction{}, kind: endStep, end: incomplete}}}
	w := &pieceWriter{pipe: p, limit: limit, direct: &p.wire.out}
	err := w.send(&chunks{content, most}, int64(len(content)))
	p.flush()
	return r, err
}

// A large message has the same octets on the wire as a small one, for reads of any size.
func FuzzDirectContent(f *testing.F) {
	for _, text := range []string{"", ".", "a\r\n.\r\nb\r\n", "a\r", "\r\n.\r\n", "..\r\n.", "a\r\n..b\r\n\r\n.", "x\r\n", "x\r\r\n."} {
		f.Add([]byte(text), uint8(1), uint8(1))
		f.Add([]byte(strings.Repeat(text, 9)), uint8(7), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, limit, most uint8) {
		is := is.New(t)
		if len(text) == 0 {
			return // not a large message
		}
		var want bytes.Buffer
		is.NoErr(sendContent(&want, bytes.NewReader(text), int64(len(text))))
		r, err := directly(text, max(1, int(limit)), max(1, int(most)))
		is.NoErr(err)
		is.Equal(r.String(), want.String())
	})
}

// A large message takes few writes, also with dots at the beginning of lines.
func TestDirectContentInPieces(t *testing.T) {
	is := is.New(t)
	text := []byte(strings.Repeat("a line of some length\r\n", 40_000))
	r, err := directly(text, 32<<10, 1<<20)
	is.NoErr(err)
	is.Equal(r.writes, len(text)>>15+1)
	for _, size := range []int64{int64(len(text)) - 1, int64(len(text)) + 1} {
		p := &pipeline{wire: &wire{nc: &writeRecorder{}}, steps: []step{{x: &transaction{}, kind: endStep, end: incomplete}}}
		w := &pieceWriter{pipe: p, limit: 1000, direct: &p.wire.out}
		err := w.send(bytes.NewReader(text), size)
		is.Equal(fmt.Sprint(unreadable(err)), fmt.Sprintf("the content is not %d octets long", size))
		sent := p.wire.nc.(*writeRecorder).String()
		is.True(!strings.HasSuffix(sent, "\r\n.\r\n")) // the relay cannot accept the message
	}
}
