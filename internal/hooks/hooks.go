// Package hooks runs commands of the user for events of a spool: a message failed, a relay is down or up again, mail
// waits for too long. A command gets the event as JSON on standard input.
package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/shell"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	timeLimit  = 30 * time.Second // for one command; at the end for all waiting events together
	maxWaiting = 1000             // waiting events of failed messages; of the others as many
	maxText    = 64 << 10         // bytes of a variable, for which systems have a limit
	maxSaid    = 4 << 10          // bytes of a command's output that are logged
)

// pauses are the times to the second and the third run of a command that fails. The third failure is the last.
var pauses = []time.Duration{10 * time.Second, time.Minute}

// An Event is what a command gets on standard input. Names and meanings of its JSON are fixed.
type Event struct {
	Event string // Failed, RelayDown, RelayUp or Oldest
	Time  time.Time
	Host  string // name of this host
	Spool string // path of the spool directory

	File      string    `json:",omitempty"` // Failed, Oldest: name of the message
	Path      string    `json:",omitempty"` // Failed: path of the message
	Why       string    `json:",omitempty"` // Failed: path of the JSON file that says why
	From      string    `json:",omitempty"` // Failed: envelope sender; empty: the null sender
	To        []string  `json:",omitempty"` // Failed: recipients that were given up
	MessageID string    `json:",omitempty"` // Failed
	Relay     string    `json:",omitempty"` // RelayDown, RelayUp
	Senders   string    `json:",omitempty"` // RelayDown, RelayUp: senders of its route; empty: all other mail
	Since     time.Time `json:",omitzero"`  // RelayDown, RelayUp: begin of the trouble; Oldest: begin of the wait
	Next      time.Time `json:",omitzero"`  // RelayDown: next attempt
	Age       float64   `json:",omitempty"` // Oldest: seconds since Since
	Waiting   int       `json:",omitempty"` // Oldest: messages that wait
	Reason    string    `json:",omitempty"` // why
}

// Options are the settings of a Runner.
type Options struct {
	Dir        string   // spool directory
	StatusFile string   // of the daemon; empty: the usual one
	Temporary  []string // patterns of temporary names; nil: the usual ones
	Log        *slog.Logger
}

// A Runner runs the commands, one at a time.
type Runner struct {
	opts  Options
	limit time.Duration // for one command
	host  string
	wake  chan struct{} // has room for one: a job came, or the queue is closed
	ended chan struct{} // closed when the queue is closed and empty

	mu     sync.Mutex
	hooks  []Hook
	jobs   []job
	closed bool
	states states
}

// A job is one command to run.
type job struct {
	hook  Hook
	event Event
	tries int
	due   time.Time // zero: at once
}

// New returns a Runner for hooks.
func New(hooks []Hook, o Options) *Runner {
	r := &Runner{opts: o, limit: timeLimit, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	r.host, _ = os.Hostname()
	r.Set(hooks)
	return r
}

// Start starts to run commands. The returned function stops that: commands for waiting events are still run, once each,
// but for no longer than the limit.
func (r *Runner) Start() (stop func()) {
	ctx, cut := context.WithCancelCause(context.Background())
	go r.run(ctx)
	return func() { r.close(cut) }
}

// Set changes the hooks, for events that come.
func (r *Runner) Set(hooks []Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = hooks
}

// Observe is an OnEvent that never waits.
func (r *Runner) Observe(ev spoolgore.Event) {
	if ev.Kind != spoolgore.EventKept {
		return
	}
	r.add(Event{
		Event: Failed, Time: ev.Time, File: ev.File, Path: ev.Path, Why: spooldir.WhyFile(ev.Path), From: ev.From,
		MessageID: ev.MessageID, Reason: ev.Err.Error(),
	}, nil)
}

// add adds the jobs for an event. If which is not nil, only hooks for which it returns true get the event. If too many
// events wait, the event is dropped.
func (r *Runner) add(ev Event, which func(*Hook) bool) {
	ev.Host, ev.Spool = r.host, r.opts.Dir
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.hooks {
		h := &r.hooks[i]
		switch {
		case r.closed || !h.wants(ev.Event) || which != nil && !which(h):
		case r.isFull(ev.Event):
			r.opts.Log.Error("hook command is not run; too many events wait", "event", ev.Event, "path", ev.Path)
		default:
			r.jobs = append(r.jobs, job{hook: *h, event: ev})
		}
	}
	r.wakeUp()
}

// isFull reports whether too many events wait. Failed messages, which a user can make at will, leave room for the
// events of relays. The caller holds r.mu.
func (r *Runner) isFull(event string) bool {
	if event != Failed {
		return len(r.jobs) >= 2*maxWaiting
	}
	n := 0
	for i := range r.jobs {
		if r.jobs[i].event.Event == Failed {
			n++
		}
	}
	return n >= maxWaiting
}

func (r *Runner) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run runs jobs until the queue is closed and empty. Once ctx has ended, the rest of the queue is logged as failed.
func (r *Runner) run(ctx context.Context) {
	defer close(r.ended)
	for {
		j, wait, ok := r.next()
		if !ok {
			return
		}
		if wait > 0 {
			r.sleep(wait)
			continue
		}
		err := context.Cause(ctx)
		if err == nil {
			err = r.do(ctx, &j)
		}
		if err != nil {
			r.failed(j, err)
		}
	}
}

// next takes the first job that is due; jobs for failed messages, of which there can be many, come after the others. If
// none is due, wait is how long; it is not ok if there will be no more.
func (r *Runner) next() (j job, wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait = time.Hour
	first := -1
	for i := range r.jobs {
		until := time.Until(r.jobs[i].due)
		if !r.closed && until > 0 {
			wait = min(wait, until)
			continue
		}
		if first < 0 {
			first = i
		}
		if r.jobs[i].event.Event != Failed {
			first = i
			break
		}
	}
	if first < 0 {
		return j, wait, !r.closed
	}
	j = r.jobs[first]
	r.jobs = append(r.jobs[:first], r.jobs[first+1:]...)
	return j, 0, true
}

// sleep waits for d, or until a job comes.
func (r *Runner) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.wake:
	}
}

// failed has a job tried again, or logs its last failure.
func (r *Runner) failed(j job, err error) {
	r.mu.Lock()
	again := !r.closed && j.tries < len(pauses)
	if again {
		j.due = time.Now().Add(pauses[j.tries])
		j.tries++
		r.jobs = append(r.jobs, j)
	}
	r.mu.Unlock()
	if again {
		r.opts.Log.Warn("hook command failed; retrying", "event", j.event.Event, "path", j.event.Path, "err", err)
		return
	}
	r.opts.Log.Error("hook command failed", "event", j.event.Event, "path", j.event.Path, "err", err)
}

// close closes the queue and waits for run, for the limit at most.
func (r *Runner) close(cut context.CancelCauseFunc) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wakeUp()
	timer := time.AfterFunc(r.limit, func() { cut(errors.New("the daemon ends")) })
	defer timer.Stop()
	<-r.ended
}

// do runs the command of a job, with the event on standard input and its facts as environment variables.
func (r *Runner) do(ctx context.Context, j *job) error {
	ctx, stop := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("not finished within %v", r.limit))
	defer stop()
	ev := j.event
	if ev.Event == Failed {
		ev.complete()
	}
	input, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	cmd := shell.Command(ctx, j.hook.Command)
	said := shell.Head{Max: maxSaid}
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	cmd.Stdout, cmd.Stderr, cmd.Env = &said, &said, append(shell.Environ(), ev.environ()...)
	err = shell.Run(cmd)
	if text := strings.TrimSpace(said.String()); text != "" {
		r.opts.Log.Info("hook command says", "event", ev.Event, "path", ev.Path, "output", text)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // the command left a process running
		return nil
	}
	return err
}
