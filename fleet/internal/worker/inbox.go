package worker

import (
	"sync"
	"sync/atomic"
)

// inbox has the functions that other goroutines post to the loop, in order.
type inbox struct {
	mu    sync.Mutex
	posts []func()
	wake  chan struct{}
	idle  atomic.Bool // the loop has nothing under way but what the recorder has
}

func (i *inbox) init() { i.wake = make(chan struct{}, 1) }

// post has the loop call f. It does not wait.
func (i *inbox) post(f func()) {
	i.mu.Lock()
	i.posts = append(i.posts, f)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// take returns what was posted.
func (i *inbox) take() (all []func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	all, i.posts = i.posts, nil
	return all
}
