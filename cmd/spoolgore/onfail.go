package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/shell"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const (
	onFailLimit = 30 * time.Second // for one command, and at the end for all that wait
	onFailQueue = 1000             // messages for which the command has yet to be run
	onFailText  = 64 << 10         // bytes of a variable: the system has a limit for these
	onFailSaid  = 4 << 10          // bytes of a command's output that go to the log
)

// onFail runs a command for every message that was moved to failed/, one at a time.
type onFail struct {
	command atomic.Value // string; empty: there is none, and nothing is run
	log     *slog.Logger
	limit   time.Duration
	queue   chan spoolgore.Event
	ended   chan struct{} // closed when nothing is left of the queue
}

// newOnFail returns what runs the command, by /bin/sh -c, with a limit for each.
func newOnFail(command string, limit time.Duration, log *slog.Logger) *onFail {
	f := &onFail{log: log, limit: limit, queue: make(chan spoolgore.Event, onFailQueue), ended: make(chan struct{})}
	f.set(command)
	return f
}

// startOnFail returns an OnEvent that has the command run, and what ends that; nil and nothing to end, if there is no command.
func startOnFail(command string, log *slog.Logger) (tell func(spoolgore.Event), end func()) {
	if command == "" {
		return nil, func() {}
	}
	hook := newOnFail(command, onFailLimit, log)
	ctx, cut := context.WithCancelCause(context.Background())
	go hook.run(ctx)
	return hook.tell, func() { hook.close(cut) }
}

// set makes another command the one for what comes, and for what waits.
func (f *onFail) set(command string) { f.command.Store(command) }

// tell is an OnEvent: it never waits. When too many messages wait for their command the others do without; they lie in
// failed/ all the same.
func (f *onFail) tell(ev spoolgore.Event) {
	if ev.Kind != spoolgore.EventKept || f.command.Load() == "" {
		return
	}
	select {
	case f.queue <- ev:
	default:
		f.log.Error("-onfail command is not run, too many messages wait for it", "path", ev.Path)
	}
}

// run runs the commands until close is called and ctx has ended or none is left.
func (f *onFail) run(ctx context.Context) {
	defer close(f.ended)
	for ev := range f.queue {
		err := context.Cause(ctx)
		if err == nil {
			err = f.runFor(ctx, ev)
		}
		if err != nil {
			f.log.Error("-onfail command failed", "path", ev.Path, "err", err)
		}
	}
}

// close ends run. What waits is still run, but for no longer than the limit.
func (f *onFail) close(cut context.CancelCauseFunc) {
	close(f.queue)
	timer := time.AfterFunc(f.limit, func() { cut(errors.New("the daemon ends")) })
	defer timer.Stop()
	<-f.ended
}

// runFor runs the command for one message. The facts are in its environment, never in its text.
func (f *onFail) runFor(ctx context.Context, ev spoolgore.Event) error {
	command, _ := f.command.Load().(string)
	if command == "" {
		return nil
	}
	ctx, stop := context.WithTimeoutCause(ctx, f.limit, fmt.Errorf("it has not ended within %v", f.limit))
	defer stop()
	cmd := shell.Command(ctx, command)
	said := shell.Head{Max: onFailSaid}
	cmd.Stdout, cmd.Stderr, cmd.Env = &said, &said, append(os.Environ(), facts(ev)...)
	err := cmd.Run()
	if text := strings.TrimSpace(said.String()); text != "" {
		f.log.Info("-onfail command says", "path", ev.Path, "output", text)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // it has left something running
		return nil
	}
	return err
}

// facts are the environment of the command.
func facts(ev spoolgore.Event) (env []string) {
	text, err := os.ReadFile(spooldir.WhyFile(ev.Path))
	why := &record.Failure{}
	if err == nil {
		why, err = record.DecodeFailure(text)
	}
	if err != nil { // the message was moved back already, for example
		why = &record.Failure{Reason: ev.Err.Error()}
	}
	var to []string
	for _, r := range slices.Concat(why.To, why.Cc, why.Bcc) {
		if r.GivenUp {
			to = append(to, r.Address)
		}
	}
	for _, v := range [][2]string{
		{"FILE", ev.Path}, {"WHY", spooldir.WhyFile(ev.Path)}, {"FROM", ev.From}, {"TO", strings.Join(to, "\n")},
		{"REASON", why.Reason}, {"MESSAGE_ID", why.MessageID},
	} {
		value := strings.ReplaceAll(v[1], "\x00", "?")
		if len(value) > onFailText {
			value = value[:strings.LastIndexByte(value[:onFailText], '\n')+1]
		}
		env = append(env, "SPOOLGORE_"+v[0]+"="+value)
	}
	return env
}
