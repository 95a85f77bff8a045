package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"
)

// A message is packed several times. A sender of one message is not added to the shared texts: otherwise a waiting
// message would keep the senders of thousands of removed messages in memory.
func TestSendersOfOneMessageAreNotShared(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	for i := range 5000 {
		v := Version{Inode: uint64(i + 1), Size: 10, Modified: 5}
		h := headOf(v)
		h.Addresses.From, h.MessageID = fmt.Sprintf("bounces+%d@example.org", i), fmt.Sprintf("<%d@x>", i)
		f.q.Notice([]string{"m"}, nil, f.now)
		f.take()
		f.advance(0)
		f.take()
		f.answer(Result{Version: v, Head: h})
		f.take()
		f.next()
		f.finish(acceptance, acceptance)
		f.take()
		f.answer(Result{})
		is.Equal(f.state(), "gone")
		is.True(!f.q.packer.Full())
		f.q.TakeEvents()
		f.advance(time.Millisecond)
	}
}
