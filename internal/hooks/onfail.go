// Package hooks runs commands of the user for events of a spool.
package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
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
	onFailLimit = 30 * time.Second // for one command; at the end for all waiting messages together
	onFailQueue = 1000             // waiting messages, at most
	onFailText  = 64 << 10         // bytes of a variable, for which systems have a limit
	onFailSaid  = 4 << 10          // bytes of a command's output that are logged
)

// OnFail runs a command for each message that was moved to failed/, one command at a time.
type OnFail struct {
	command atomic.Value // string; empty: no command is run
	log     *slog.Logger
	limit   time.Duration
	queue   chan spoolgore.Event
	ended   chan struct{} // closed when the queue is closed and empty
}

// New returns an OnFail with a command for /bin/sh -c; empty: no command is run.
func New(command string, log *slog.Logger) *OnFail { return newOnFail(command, onFailLimit, log) }

// newOnFail is New with a time limit for each command.
func newOnFail(command string, limit time.Duration, log *slog.Logger) *OnFail {
	f := &OnFail{log: log, limit: limit, queue: make(chan spoolgore.Event, onFailQueue), ended: make(chan struct{})}
	f.Set(command)
	return f
}

// Start starts to run commands. The returned function stops that: commands for messages that wait are still run, but
// for no longer than the limit.
func (f *OnFail) Start() (stop func()) {
	ctx, cut := context.WithCancelCause(context.Background())
	go f.run(ctx)
	return func() { f.close(cut) }
}

// Set changes the command, for waiting messages too.
func (f *OnFail) Set(command string) { f.command.Store(command) }

// Observe is an OnEvent that never waits. If too many messages wait for the command, it is not run for the others.
func (f *OnFail) Observe(ev spoolgore.Event) {
	if ev.Kind != spoolgore.EventKept || f.command.Load() == "" {
		return
	}
	select {
	case f.queue <- ev:
	default:
		f.log.Error("-onfail command is not run; too many messages wait for it", "path", ev.Path)
	}
}

// InTurn returns an OnEvent that calls each function that is not nil.
func InTurn(observers ...func(spoolgore.Event)) func(spoolgore.Event) {
	return func(ev spoolgore.Event) {
		for _, observe := range observers {
			if observe != nil {
				observe(ev)
			}
		}
	}
}

// run runs the commands until the queue is closed and empty. Once ctx has ended, the rest of the queue is logged as
// failed.
func (f *OnFail) run(ctx context.Context) {
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

// close closes the queue and waits for run, for the limit at most.
func (f *OnFail) close(cut context.CancelCauseFunc) {
	close(f.queue)
	timer := time.AfterFunc(f.limit, func() { cut(errors.New("the daemon ends")) })
	defer timer.Stop()
	<-f.ended
}

// runFor runs the command for one message, with its facts as environment variables.
func (f *OnFail) runFor(ctx context.Context, ev spoolgore.Event) error {
	command, _ := f.command.Load().(string)
	if command == "" {
		return nil
	}
	ctx, stop := context.WithTimeoutCause(ctx, f.limit, fmt.Errorf("not finished within %v", f.limit))
	defer stop()
	cmd := shell.Command(ctx, command)
	said := shell.Head{Max: onFailSaid}
	cmd.Stdout, cmd.Stderr, cmd.Env = &said, &said, append(shell.Environ(), facts(ev)...)
	err := cmd.Run()
	if text := strings.TrimSpace(said.String()); text != "" {
		f.log.Info("-onfail command says", "path", ev.Path, "output", text)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // the command left a process running
		return nil
	}
	return err
}

// readWhy reads a why-file, if it is a regular file.
func readWhy(path string) ([]byte, error) {
	dir, err := spooldir.New(filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return nil, err
	}
	return spooldir.ReadOn(dir.FS(), path)
}

// facts returns the environment variables of a command.
func facts(ev spoolgore.Event) (env []string) {
	text, err := readWhy(spooldir.WhyFile(ev.Path))
	why := &record.Failure{}
	if err == nil {
		why, err = record.DecodeFailure(text)
	}
	if err != nil { // for example: the message was moved back already
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
