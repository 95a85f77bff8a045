package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/record"
)

// Hold sets a message aside, by the name that Put returned: the message is not sent, and does not grow older. A message
// that is being sent is held if it is not delivered. The error is fs.ErrNotExist if there is no such message.
func (q *Queue) Hold(ctx context.Context, name string) error {
	return q.steer("hold", name, func(id int64) (int64, error) { return q.store.Hold(ctx, []int64{id}) })
}

// Release makes a held message ready.
func (q *Queue) Release(ctx context.Context, name string) error {
	return q.steer("release", name, func(id int64) (int64, error) { return q.store.Release(ctx, []int64{id}) })
}

// Delete deletes a message for good. No report is sent. A transaction in progress goes on.
func (q *Queue) Delete(ctx context.Context, name string) error {
	return q.steer("delete", name, func(id int64) (int64, error) { return q.store.Delete(ctx, []int64{id}) })
}

// Retry has a deferred message tried now, or sends a failed one again to the recipients that have not accepted.
func (q *Queue) Retry(ctx context.Context, name string) error {
	return q.steer("retry", name, func(id int64) (int64, error) {
		found, err := q.store.Retry(ctx, id, retried)
		if !found {
			return 0, err
		}
		return 1, err
	})
}

// retried returns the record of a message that is to be tried now.
func retried(old *string, failed bool, now time.Time) (string, int, error) {
	m := &record.Message{}
	if err := json.Unmarshal([]byte(*old), m); err != nil {
		return "", 0, err
	}
	if failed {
		size := m.Size
		m = record.AcceptedOnly(m, now)
		m.Size, m.Error = size, ""
	}
	m.RetryAt(now)
	waiting := 0
	for _, r := range m.Recipients() {
		if r.Status == record.Waiting {
			waiting++
		}
	}
	return store.JSON(m), waiting, nil
}

// steer calls do for the message name, and wakes the workers.
func (q *Queue) steer(act, name string, do func(id int64) (int64, error)) error {
	id, err := strconv.ParseInt(name, 10, 64)
	n := int64(0)
	if err == nil {
		n, err = do(id)
	} else {
		err = fs.ErrNotExist
	}
	if err == nil && n == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("fleet: %s %s: %w", act, name, err)
	}
	q.wake.notify()
	return nil
}

// Pause has all workers begin no transaction until Resume. A worker knows within a third of a lease.
func (q *Queue) Pause(ctx context.Context) error { return q.store.Pause(ctx, true) }

// Resume ends a pause.
func (q *Queue) Resume(ctx context.Context) error { return q.store.Pause(ctx, false) }
