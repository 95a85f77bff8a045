package engine

import (
	"time"

	"github.com/unbit/spoolgore/internal/queue"
)

// pieces are works on all messages of the queue, which the loop does in pieces, one work after the other: with a
// million messages a work takes seconds, and the loop must not wait for it.
type pieces struct {
	works   []pieceWork
	waiting bool // no work begins: not all messages are known yet
}

type pieceWork struct {
	begin func() *queue.Work
	work  *queue.Work // nil: not begun yet
	size  int         // messages in a piece
	then  func()      // called at the end; nil: no call
}

// maxPieces is how long the loop works on pieces at a time.
const maxPieces = 10 * time.Millisecond

// add adds the work that begin returns when the works before have ended. The work begins now if there are none, and
// ends at once if there are few messages.
func (p *pieces) add(begin func() *queue.Work, size int, then func()) {
	p.works = append(p.works, pieceWork{begin, nil, size, then})
	if len(p.works) == 1 {
		p.advance()
	}
}

// advance goes on with the works. A function called at the end of a work may add another one.
func (p *pieces) advance() {
	for began := time.Now(); p.busy(); {
		w := &p.works[0]
		if w.work == nil {
			w.work = w.begin()
		}
		then := w.then
		more := w.work.Do(w.size, time.Now())
		if !more {
			p.works[0] = pieceWork{} // with all that begin and then know: perhaps a record of each message
			p.works = p.works[1:]
			if then != nil {
				then()
			}
		}
		if time.Since(began) >= maxPieces {
			return
		}
	}
}

// busy reports whether a work is under way.
func (p *pieces) busy() bool { return len(p.works) > 0 && !p.waiting }
