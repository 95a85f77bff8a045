package worker

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/unbit/spoolgore/fleet/internal/store"
)

// held knows the messages that the worker has leased. When the answer to a claim is lost, the database may have leased
// messages to the worker of which the worker does not know; reclaim gives them back.
type held struct {
	claims sync.RWMutex // held for reading during a claim
	unsure atomic.Bool  // an answer was lost

	mu  sync.Mutex
	ids map[int64]bool
}

// during calls a claim, and keeps the messages that it returns.
func (h *held) during(claim func() ([]store.Leased, error)) ([]store.Leased, error) {
	h.claims.RLock()
	defer h.claims.RUnlock()
	all, err := claim()
	if err != nil {
		h.unsure.Store(true)
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = make(map[int64]bool)
	}
	for _, l := range all {
		h.ids[l.ID] = true
	}
	return all, nil
}

// drop forgets a message whose lease has ended.
func (h *held) drop(ids ...int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.ids, id)
	}
}

// reclaim ends the leases of which the worker does not know, if an answer was lost.
func (h *held) reclaim(ctx context.Context, s *store.Leases, worker int64) {
	if !h.unsure.Load() {
		return
	}
	h.claims.Lock()
	defer h.claims.Unlock()
	h.mu.Lock()
	ids := make([]int64, 0, len(h.ids))
	for id := range h.ids {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	if s.Reclaim(ctx, worker, ids) == nil {
		h.unsure.Store(false)
	}
}
