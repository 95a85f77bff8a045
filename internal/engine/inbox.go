package engine

import "sync"

// inbox has the functions that other goroutines post to the loop, in order. Posting never blocks.
type inbox struct {
	mu     sync.Mutex
	items  []func()
	taken  []func()      // memory of the last taken items
	signal chan struct{} // buffer of one: there are items
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

// post has the loop call f. After the end of the loop f is not called.
func (b *inbox) post(f func()) {
	b.mu.Lock()
	b.items = append(b.items, f)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// take returns the items posted since the last call. The slice is good until the next call.
func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.taken = reuse(b.taken), items
	return items
}

// waiting reports whether there are items.
func (b *inbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items) > 0
}

// Post has the loop of Run call f, and does not wait. After the end of Run f is not called. Any goroutine may call
// Post.
func (e *Engine) Post(f func(*Control)) { e.inbox.post(func() { f(e.control) }) }

// Arrived tells that the file name is new in the spool. Any goroutine may call Arrived.
func (e *Engine) Arrived(name string) { e.inbox.post(func() { e.spool.arrived(name) }) }

// Accepted reports whether this run has seen an acceptance of the message name that .spoolgore.sent may lack. Any
// goroutine may call Accepted.
func (e *Engine) Accepted(name string) bool { return e.publisher.sent.Has(name) }

// Control returns the commands to a run, for use before Run.
func (e *Engine) Control() *Control { return e.control }

// Do has the loop call command, and waits until command calls done. It returns false if the loop ended before.
func (e *Engine) Do(command func(c *Control, done func()), ended <-chan struct{}) bool {
	finished := make(chan struct{})
	e.Post(func(c *Control) { command(c, func() { close(finished) }) })
	select {
	case <-finished:
		return true
	case <-ended:
	}
	select {
	case <-finished: // in the last step of the loop
		return true
	default:
		return false
	}
}
