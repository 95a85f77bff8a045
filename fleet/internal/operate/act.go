package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/fleet/internal/worker"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Acts steer messages by their names. The error is fs.ErrNotExist if there is no such message.
type Acts struct {
	Store *store.Store
	Ctx   context.Context
	Wake  func() // tells the workers; nil: they find out by themselves
}

// Hold sets a message aside.
func (a *Acts) Hold(name string) error {
	return a.act(name, func(id int64) (int64, error) { return a.admin().Hold(a.Ctx, []int64{id}) })
}

// Release makes a held message ready.
func (a *Acts) Release(name string) error {
	return a.act(name, func(id int64) (int64, error) { return a.admin().Release(a.Ctx, []int64{id}) })
}

// Delete deletes a message for good.
func (a *Acts) Delete(name string) error {
	return a.act(name, func(id int64) (int64, error) { return a.admin().Delete(a.Ctx, []int64{id}) })
}

// Retry has a deferred message tried now, or sends a failed one again to the recipients that have not accepted.
func (a *Acts) Retry(name string) error {
	return a.act(name, func(id int64) (int64, error) { return one(a.admin().Retry(a.Ctx, id, retried)) })
}

// Readdress gives a message other recipients: those that instead returns for each recipient that has not accepted.
func (a *Acts) Readdress(name string, instead func(addr string) ([]string, error)) error {
	return a.act(name, func(id int64) (int64, error) {
		return one(a.admin().Readdress(a.Ctx, id, func(l store.Listed) (store.Readdressed, error) {
			return readdressed(l, instead)
		}))
	})
}

// Flush has all deferred messages tried now, and resting accounts and relays. It returns the number of messages.
func (a *Acts) Flush() (int64, error) {
	n, err := a.admin().Flush(a.Ctx, flushed)
	a.wake()
	return n, err
}

func (a *Acts) admin() store.Admin { return store.Admin{Store: a.Store} }

// one returns the number of messages for an act on one message.
func one(found bool, err error) (int64, error) {
	if !found {
		return 0, err
	}
	return 1, err
}

// act calls do for the message name, and wakes the workers.
func (a *Acts) act(name string, do func(id int64) (int64, error)) error {
	id, err := strconv.ParseInt(name, 10, 64)
	n := int64(0)
	if err != nil {
		return fs.ErrNotExist
	}
	if n, err = do(id); errors.Is(err, store.ErrLeased) {
		return mailq.ErrSending
	}
	if err == nil && n == 0 {
		err = fs.ErrNotExist
	}
	if err == nil {
		a.wake()
	}
	return err
}

func (a *Acts) wake() {
	if a.Wake != nil {
		a.Wake()
	}
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
	return store.JSON(m), waiting(m), nil
}

// waiting returns the number of recipients that wait.
func waiting(m *record.Message) (n int) {
	for _, r := range m.Recipients() {
		if r.Status == record.Waiting {
			n++
		}
	}
	return n
}

// flushed returns the record of a deferred message that is to be tried now; empty: the sender wants a later time.
func flushed(old string, now time.Time) (string, error) {
	m := &record.Message{}
	if err := json.Unmarshal([]byte(old), m); err != nil {
		return "", err
	}
	if m.NotBefore.After(now) {
		return "", nil
	}
	m.RetryAt(now)
	return store.JSON(m), nil
}

// readdressed returns a message with other recipients.
func readdressed(l store.Listed, instead func(addr string) ([]string, error)) (r store.Readdressed, err error) {
	leased := leasedOf(&l)
	env, old, err := worker.RecordOf(leased, nil)
	if err != nil {
		return r, err
	}
	e := mailq.NewEntry(spooldir.Spool, strconv.FormatInt(l.ID, 10), old, false, l.Created)
	to, left, err := e.NewRecipients(instead)
	switch {
	case err != nil:
		return r, err
	case left == 0:
		return r, mailq.ErrNoneLeft
	}
	other := message.Envelope(*env)
	other.To = to
	other.Notify, other.ORcpt = env.Wishes(to)
	line, err := json.Marshal(&other)
	if err != nil {
		return r, err
	}
	leased.Envelope, leased.Record = string(line), nil
	_, m, err := worker.RecordOf(leased, nil)
	if err != nil {
		return r, fmt.Errorf("recipients: %w", err)
	}
	m.MessageID = old.MessageID
	record.KeepAccepted(m, old)
	return store.Readdressed{Envelope: string(line), Record: store.JSON(m), Rcpts: waiting(m)}, nil
}

// leasedOf returns what a worker would get of a message.
func leasedOf(l *store.Listed) store.Leased {
	return store.Leased{
		ID: l.ID, UID: l.UID, Created: l.Created, Size: l.Size, Envelope: l.Envelope, Record: l.Record,
	}
}
