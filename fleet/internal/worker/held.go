package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
)

// held knows the messages that the worker has leased. When the answer to a claim is lost, the database may have leased
// messages to the worker of which the worker does not know; reclaim gives them back.
type held struct {
	claims    sync.RWMutex // held for reading during a claim
	unsure    atomic.Bool  // an answer was lost
	reclaimed time.Time    // the last time; owned by the caller of reclaim

	mu     sync.Mutex
	leases map[int64]int // number of the lease, by id
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
	if h.leases == nil {
		h.leases = make(map[int64]int)
	}
	for _, l := range all {
		h.leases[l.ID] = l.Lease
	}
	return all, nil
}

// drop forgets leases that have ended. The worker may have leased the same message again meanwhile.
func (h *held) drop(keys ...store.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range keys {
		if h.leases[k.ID] == k.Lease {
			delete(h.leases, k.ID)
		}
	}
}

// reclaim ends the leases of which the worker does not know: at once if an answer was lost, otherwise once in every. A
// claim that was sent before the network failed may reach the server long after its answer was given up.
func (h *held) reclaim(ctx context.Context, s *store.Leases, worker int64, now func() time.Time, every time.Duration) {
	if !h.unsure.Load() && time.Since(h.reclaimed) < every {
		return
	}
	h.claims.Lock()
	defer h.claims.Unlock()
	h.mu.Lock()
	ids := make([]int64, 0, len(h.leases))
	for id := range h.leases {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, reclaimTime) // no claim begins meanwhile
	defer cancel()
	if s.Reclaim(ctx, worker, ids, now().Add(reclaimTime)) == nil {
		h.unsure.Store(false)
		h.reclaimed = time.Now()
	}
}

// reclaimTime is the limit for one reclaim.
const reclaimTime = 5 * time.Second
