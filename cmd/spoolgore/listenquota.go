package main

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A userQuota limits the messages of one user that came by -listen and are in the spool at the same time, in hold/ and
// failed/ included. The files belong to the daemon, so the quota counts by the user id of the connection. The keys
// userfiles and usersize of the configuration are the limits. Root has no limit.
type userQuota struct {
	dir   *spooldir.Dir
	files int64 // zero: no limit
	size  int64 // in octets; zero: no limit

	mu    sync.Mutex
	users map[string]*usage // by user id
}

// usage is the messages of one user. The entry of a message that has left the spool stays until a limit is reached, or
// the entries have doubled.
type usage struct {
	stayed int              // messages in the spool at the last comparison
	sizes  map[string]int64 // of messages, by name
	size   int64            // sum of sizes
	looked time.Time        // last time when the entries were compared with the spool
}

// lookPause is the least time between two comparisons of the entries of one user with the spool.
const lookPause = time.Second

// fewEntries is the number of entries of a user up to which no comparison is needed.
const fewEntries = 1000

// places are the directories with messages that count.
var places = []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}

// newUserQuota returns the quota of a configuration; nil: there is no limit.
func newUserQuota(c *config.Config, dir *spooldir.Dir) (*userQuota, error) {
	q := &userQuota{dir: dir, users: make(map[string]*usage)}
	for key, limit := range map[string]*int64{"userfiles": &q.files, "usersize": &q.size} {
		setting := c.From[key]
		if setting.Value == "" {
			continue
		}
		n, err := conf.Size(setting.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", setting.Origin, key, err)
		}
		*limit = n
	}
	if q.files == 0 && q.size == 0 {
		return nil, nil
	}
	return q, nil
}

// load adds the messages that were in the spool before the start.
func (q *userQuota) load() {
	if q == nil {
		return
	}
	for _, place := range places {
		_ = spooldir.EachName(q.dir, place, func(names []string) error {
			for _, name := range names {
				if f, err := msgfile.OpenIn(q.dir, place, name); err == nil {
					q.found(name, f)
				}
			}
			return nil
		})
	}
}

// found adds a message if it came by -listen, and closes the file. The envelope line of a file of another user than the
// daemon is not believed.
func (q *userQuota) found(name string, f *msgfile.File) {
	defer f.Close()
	if f.Envelope != nil && f.Envelope.UID == strconv.FormatUint(uint64(msgfile.UserOf(f)), 10) {
		q.add(f.Envelope.UID, name, f.ID.Size)
	}
}

// add records a message of a user in the spool.
func (q *userQuota) add(uid, name string, size int64) {
	if q == nil || uid == "" || uid == "0" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.users[uid]
	if u == nil {
		u = &usage{sizes: make(map[string]int64)}
		q.users[uid] = u
	}
	u.size += size - u.sizes[name]
	u.sizes[name] = size
}

// room returns how many octets a message of a user may have; negative: any number. The error says which limit is
// reached.
func (q *userQuota) room(uid string, now time.Time) (octets int64, err error) {
	if q == nil || uid == "" || uid == "0" {
		return -1, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.users[uid]
	if u == nil {
		u = new(usage)
	}
	full := q.full(u)
	if (full != nil || len(u.sizes) >= max(fewEntries, 2*u.stayed)) && now.Sub(u.looked) >= lookPause {
		u.looked = now
		q.look(u)
		u.stayed, full = len(u.sizes), q.full(u)
	}
	if full != nil {
		return 0, full
	}
	if q.size == 0 {
		return -1, nil
	}
	return q.size - u.size, nil
}

// full returns an error if a limit is reached.
func (q *userQuota) full(u *usage) error {
	switch {
	case q.files > 0 && int64(len(u.sizes)) >= q.files:
		return fmt.Errorf("%d messages of yours wait in the spool; the limit is %d", len(u.sizes), q.files)
	case q.size > 0 && u.size >= q.size:
		return fmt.Errorf("your messages in the spool have %d bytes; the limit is %d", u.size, q.size)
	}
	return nil
}

// look removes the entries of messages that have left the spool.
func (q *userQuota) look(u *usage) {
	for name, size := range u.sizes {
		there := false
		for _, place := range places {
			if _, err := spooldir.StatIn(q.dir, place, name); err == nil {
				there = true
				break
			}
		}
		if !there {
			delete(u.sizes, name)
			u.size -= size
		}
	}
}
