package worker

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/record"
)

// job is a leased message.
type job struct {
	store.Leased
	worker int64 // id of the worker when it claimed the message
	epoch  int   // of the worker when the message was claimed
	env    message.Envelope
	record *record.Message
	header *message.Header
	body   *body
	bad    error // why the message can never be sent; nil: it can

	to   []string // recipients of the transaction
	last time.Time
	cut  atomic.Bool

	mu       sync.Mutex
	contents []*message.Content
}

// newJob reads the envelope, the record and the header of a leased message. An error means that the store cannot be
// read now.
func newJob(ctx context.Context, s *store.Leases, worker int64, l store.Leased) (*job, error) {
	j := &job{Leased: l, worker: worker}
	j.body = &body{ctx: ctx, store: s, id: l.ID, size: l.Size, piece: l.Piece}
	if l.Size > int64(len(l.Piece)) && len(l.Piece) < store.PieceSize {
		return nil, fmt.Errorf("message %d: the content is not complete", l.ID)
	}
	j.Piece = nil
	j.bad = j.readEnvelope(l.Envelope)
	header, err := message.ReadHeader(j.body, l.Size)
	switch {
	case j.body.failed.Load():
		return nil, err
	case err != nil:
		j.bad = err
	case header.Count("Received") > msgfile.MaxHops:
		j.bad = msgfile.ErrLoop
	}
	j.header = header
	var lost error
	now := store.Lost{Envelope: l.Envelope, Record: l.Record, Created: l.Created}
	if j.record, lost = recordOf(now, j); lost != nil {
		j.bad = errors.Join(j.bad, lost)
	}
	return j, nil
}

// readEnvelope sets the envelope.
func (j *job) readEnvelope(text string) error {
	if err := json.Unmarshal([]byte(text), &j.env); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	for i, to := range j.env.To {
		if canonical, err := message.Canonical(to); err == nil {
			j.env.To[i] = canonical
		}
	}
	return nil
}

// RecordOf returns the envelope and the record of a message: the stored record, or a new one. header is that of the
// content; nil: it was not read, and a new record has no Message-ID.
func RecordOf(l store.Leased, header *message.Header) (*message.Envelope, *record.Message, error) {
	j := &job{Leased: l, header: header}
	bad := j.readEnvelope(l.Envelope)
	m, err := recordOf(store.Lost{Envelope: l.Envelope, Record: l.Record, Created: l.Created}, j)
	if l.Record == nil && header == nil {
		m.MessageID = ""
	}
	return &j.env, m, errors.Join(bad, err)
}

// recordOf returns the record of a message: the stored record, or a new one.
func recordOf(m store.Lost, j *job) (*record.Message, error) {
	created := m.Created.UTC()
	if m.Record != nil {
		r := &record.Message{}
		err := json.Unmarshal([]byte(*m.Record), r)
		r.Enqueued = created
		if r.MessageID == "" && j.header != nil { // the record was made without the content
			r.MessageID = j.messageID()
		}
		return r, err
	}
	addresses := j.env.Addresses()
	r := record.New(record.Head{
		Name: j.name(), Size: j.Size, Modified: created, Addresses: addresses,
		MessageID: j.messageID(), Envelope: &j.env,
	}, created)
	return r, addresses.FromErr
}

// key returns the lease.
func (j *job) key() store.Key { return store.Key{ID: j.ID, Lease: j.Lease, Worker: j.worker} }

// name returns the name of the message in the queue.
func (j *job) name() string { return strconv.FormatInt(j.ID, 10) }

// messageID returns the Message-ID with which the message is sent: that of the header, or one made of the uid.
func (j *job) messageID() string {
	if j.header != nil {
		if id := j.header.Get("Message-ID"); id != "" {
			return id
		}
	}
	host := "localhost"
	if at := strings.LastIndexByte(j.env.From, '@'); at >= 0 && !message.HasUTF8(j.env.From) {
		host = j.env.From[at+1:]
	}
	sum := sha256.Sum256([]byte(j.UID))
	return "<" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15])) + ".fleet@" + host + ">"
}

// content returns a reader of the message as it is sent.
func (j *job) content() *message.Content {
	c := j.header.Content(j.body, j.Size, message.Added{Date: j.Created.Local(), MessageID: j.messageID()})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.contents = append(j.contents, c)
	return c
}

// close ends all readers of the content.
func (j *job) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.contents {
		_ = c.Close()
	}
}

// transaction prepares the offer of the message to the recipients j.to. alive reports whether the lease lasts.
func (j *job) transaction(alive func() bool) (*delivery.Transaction, error) {
	t := &delivery.Transaction{
		Name: j.name(), From: j.record.From, To: j.to, ID: j.env.ID,
		Ret: j.env.Ret, EnvID: j.env.EnvID, NotBefore: j.env.NotBefore, Expire: j.env.Expire, Priority: j.env.Priority,
		MessageID: j.messageID(), Enqueued: j.record.Enqueued, Attempt: j.record.Attempts + 1,
		Identity: func() string { return j.UID },
		UTF8:     j.header.EightBit(),
		Content:  func() io.Reader { return guarded{j.content(), alive, &j.cut} },
	}
	t.Notify, t.ORcpt = j.env.Wishes(j.to)
	c := j.content()
	var err error
	t.Size, t.EightBit, err = c.Measure()
	return t, err
}

// start marks the due recipients as in progress and keeps them in j.to.
func (j *job) start(now time.Time, wanted func(to string) bool) {
	for _, r := range j.record.Recipients() {
		if r.Status == record.Waiting && r.LastAttempt.After(j.last) {
			j.last = r.LastAttempt
		}
	}
	j.to = j.record.Start(now, wanted)
}

// suspect returns when a relay last failed in the middle of a transaction of the message; zero: never.
func (j *job) suspect() time.Time {
	if j.Suspect == nil {
		return time.Time{}
	}
	return *j.Suspect
}
