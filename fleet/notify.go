package fleet

import (
	"context"
	"sync"
	"time"
)

// notifyPause is the time between two notifications of a process. A notification in the transaction of each message
// would make all commits of the server wait for each other.
const notifyPause = 50 * time.Millisecond

// notifier tells the workers of new messages, at most once in notifyPause.
type notifier struct {
	send   func(context.Context) error
	ctx    context.Context
	cancel context.CancelFunc
	wanted chan struct{}
	ended  sync.WaitGroup
}

func newNotifier(send func(context.Context) error) *notifier {
	n := &notifier{send: send, wanted: make(chan struct{}, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.ended.Go(n.run)
	return n
}

// notify asks for a notification. It does not wait.
func (n *notifier) notify() {
	select {
	case n.wanted <- struct{}{}:
	default: // the next notification is about this message, too
	}
}

func (n *notifier) run() {
	for {
		select {
		case <-n.wanted:
		case <-n.ctx.Done():
			return
		}
		_ = n.send(n.ctx) // workers look for messages by themselves, too
		select {
		case <-time.After(notifyPause):
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *notifier) close() {
	n.cancel()
	n.ended.Wait()
}

// closed reports whether close was called.
func (n *notifier) closed() bool { return n.ctx.Err() != nil }
