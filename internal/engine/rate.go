package engine

import (
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/unbit/spoolgore/internal/asyncfile"
	"github.com/unbit/spoolgore/internal/ratelimit"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// rate holds back mail above the limits for recipients. The counts survive a restart.
type rate struct {
	dir    *spooldir.Dir
	opts   *Options
	post   func(func())
	text   string // the limits; empty: none
	limits []ratelimit.Limit
	quota  *ratelimit.Quota
	file   *asyncfile.File
	until  time.Time // end of the wait at the last look
	count  uint64    // how often mail was held back
}

func newRate(dir *spooldir.Dir, opts *Options, post func(func())) (*rate, error) {
	limits, err := ratelimit.Parse(opts.Rate)
	if err != nil {
		return nil, err
	}
	r := &rate{dir: dir, opts: opts, post: post, text: opts.Rate, limits: limits}
	r.file = asyncfile.New(dir.File(spooldir.RateFile), replaceIn(dir))
	return r, nil
}

// load goes on where the last run stopped. After a damaged file nothing counts as spent: mail goes on.
func (r *rate) load() (err error) {
	text, err := spooldir.ReadOn(r.dir.FS(), r.dir.File(spooldir.RateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if r.quota, err = ratelimit.New(r.limits, text, time.Now()); err != nil {
		path := r.dir.File(spooldir.RateFile)
		r.opts.Logger.Error("rate file damaged; the limits count from now", "file", path, "err", err)
		r.quota, err = ratelimit.New(r.limits, nil, time.Now())
	}
	return err
}

// change returns a rate with other limits and the same counts.
func (r *rate) change(text string, now time.Time) (*rate, error) {
	if text == r.text {
		return r, nil
	}
	limits, err := ratelimit.Parse(text)
	if err != nil {
		return nil, err
	}
	state, err := r.quota.State(now)
	if err != nil {
		return nil, err
	}
	changed := *r
	changed.text, changed.limits, changed.until = text, limits, time.Time{}
	changed.quota, err = ratelimit.New(limits, state, now)
	return &changed, err
}

// hold returns how long the next message, with n recipients, has to wait; zero: not at all.
func (r *rate) hold(n int, now time.Time) time.Duration {
	wait := r.quota.Wait(n, now)
	if wait > 0 {
		if !now.Before(r.until) {
			r.count++ // otherwise it is the same wait, looked at again
		}
		r.until = now.Add(wait)
	}
	return wait
}

// spend counts n recipients.
func (r *rate) spend(n int, now time.Time) {
	if r.text != "" {
		r.quota.Spend(n, now)
		r.file.Touch(now)
	}
}

// refund removes n recipients from the count of time at: the relay could not be used, and the mail was not sent.
func (r *rate) refund(n int, at, now time.Time) {
	if r.text != "" && n > 0 {
		r.quota.Refund(n, at)
		r.file.Touch(now)
	}
}

// wait returns the time until the next write of the file; negative if none is needed.
func (r *rate) wait(now time.Time) time.Duration { return r.file.Wait(now) }

// content returns a function that writes the present state.
func (r *rate) content(now time.Time) func(io.Writer) error {
	text, err := r.quota.State(now)
	return func(w io.Writer) error {
		if err != nil {
			return err
		}
		_, err := w.Write(text)
		return err
	}
}

// write begins to write the file, if a write is due.
func (r *rate) write(now time.Time) {
	if r.file.Wait(now) == 0 {
		startFile(r.file, r.content(now), r.post, r.wrote)
	}
}

// sync writes the file and waits. Without limits there is no file.
func (r *rate) sync() {
	if r.text != "" {
		r.wrote(r.file.Sync(false, r.content(time.Now())), false)
	}
}

// wrote logs the outcome of a write.
func (r *rate) wrote(err error, recovered bool) {
	logWrite(r.opts.Logger, spooldir.RateFile, err, recovered)
}
