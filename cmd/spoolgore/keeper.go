package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// keepPause is the time between two looks of a keeper.
const keepPause = time.Hour

// A keeper removes old messages from failed/.
type keeper struct {
	path string // of the spool
	age  atomic.Int64
	log  *slog.Logger
	wake chan struct{} // has room for one: the age has changed
}

// newKeeper returns a keeper for the spool at path. Age is that of messages to be removed; zero: none are.
func newKeeper(path string, age time.Duration, log *slog.Logger) *keeper {
	k := &keeper{path: path, log: log, wake: make(chan struct{}, 1)}
	k.age.Store(int64(age))
	return k
}

// set changes the age, and makes the keeper look.
func (k *keeper) set(age time.Duration) {
	k.age.Store(int64(age))
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// start looks at once and then every hour, until end is called. end waits for a look that is under way.
func (k *keeper) start() (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(0)
		defer timer.Stop()
		for first := true; ; first = false {
			select {
			case <-timer.C:
			case <-k.wake:
			case <-ctx.Done():
				if first { // a run of -once may be shorter than a moment
					k.look(context.Background(), time.Now())
				}
				return
			}
			k.look(ctx, time.Now())
			timer.Reset(keepPause)
		}
	}()
	return func() { stop(); <-ended }
}

// look removes the messages that were given up before now by the age or more, with their why-files. The age counts from
// the time of the why-file. A message without a why-file stays: the daemon has not put it there.
func (k *keeper) look(ctx context.Context, now time.Time) {
	age := time.Duration(k.age.Load())
	if age == 0 {
		return
	}
	dir, err := spooldir.New(k.path)
	removed := 0
	if err == nil {
		err = spooldir.EachName(dir, spooldir.Failed, func(names []string) error {
			n, err := removeOld(dir, names, now.Add(-age))
			removed += n
			return errors.Join(err, ctx.Err())
		})
	}
	if removed > 0 {
		k.log.Info("old messages removed from failed", "dir", k.path, "messages", removed)
		err = errors.Join(err, dir.SyncPlaces())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		k.log.Error("old messages in failed cannot be removed; retrying", "dir", k.path, "err", err)
	}
}

// removeOld removes those messages among names in failed/ whose why-file is not younger than before, and returns how
// many.
func removeOld(dir *spooldir.Dir, names []string, before time.Time) (n int, err error) {
	for _, name := range names {
		if spooldir.IsWhyFile(name) {
			continue
		}
		path := dir.At(spooldir.Failed, name)
		why, whyErr := dir.FS().Lstat(spooldir.WhyFile(path))
		fi, fileErr := dir.FS().Lstat(path)
		if whyErr != nil || fileErr != nil || why.ModTime().After(before) || !fi.Mode().IsRegular() {
			continue
		}
		switch removeErr := dir.Steering().Discard(spooldir.Failed, name, spooldir.IDOf(fi)); {
		case removeErr == nil:
			n++
		case errors.Is(removeErr, fs.ErrNotExist), errors.Is(removeErr, spooldir.ErrChanged): // moved back just now
		default:
			err = removeErr
		}
	}
	return n, err
}
