package credential

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/shell"
)

const (
	commandLimit = 30 * time.Second
	maxStderr    = 4 << 10 // bytes of a command's standard error that go to the log
)

// Command returns a Func that gives the first line of what the command line prints, run by /bin/sh -c with nothing to
// read, in a process group of its own. It runs once, and again when its last answer was refused or it has failed,
// never twice at the same time. It has 30 seconds; then it is killed with all that it has started. What it prints on
// standard error goes to the log. Its errors: it cannot be run, takes too long, exits with another code than 0, or
// prints nothing.
func (s Source) Command(text string) Func {
	if s.limit == 0 {
		s.limit = commandLimit
	}
	c := &command{source: s, text: text, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c.give
}

// command is a command and its last answer. Who changes anything holds the turn.
type command struct {
	source Source
	text   string
	turn   chan struct{} // holds one token, so that who waits for it can give up
	last   string        // empty: none
	runs   atomic.Int64  // that have ended
}

func (c *command) give(ctx context.Context, again bool) (string, error) {
	runs := c.runs.Load()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", c.source.Name, context.Cause(ctx))
	}
	defer func() { c.turn <- struct{}{} }()
	// Several connections are refused at the same time: what has been fetched for one of them meanwhile serves the
	// others.
	if c.last != "" && (!again || c.runs.Load() != runs) {
		return c.last, nil
	}
	c.last = "" // if this fails, the next call has to try anew
	answer, err := c.run(ctx)
	c.runs.Add(1)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.source.Name, err)
	}
	c.last = answer
	return answer, nil
}

// run runs the command.
func (c *command) run(ctx context.Context) (string, error) {
	tooLate := fmt.Errorf("the command has not ended within %v", c.source.limit)
	ctx, stop := context.WithTimeoutCause(ctx, c.source.limit, tooLate)
	defer stop()
	cmd := shell.Command(ctx, c.text)
	stdout, stderr := shell.Head{Max: maxSize + 2}, shell.Head{Max: maxStderr + maxSize} // so that no half of a secret is left in it
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	answer, _, _ := strings.Cut(stdout.String(), "\n")
	answer = strings.TrimSuffix(answer, "\r")
	c.tell(stderr.String(), answer)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // it has done its work and left something running, an agent perhaps
	case err != nil:
		return "", fmt.Errorf("run the command: %w", err)
	}
	if err := check(answer); err != nil {
		return "", fmt.Errorf("the first line of the command's output %w", err)
	}
	return answer, nil
}

// tell logs what the command said on standard error, without the secret: "set -x", for one, shows it.
func (c *command) tell(stderr, answer string) {
	if answer != "" {
		stderr = strings.ReplaceAll(stderr, answer, "***")
	}
	stderr = stderr[:min(len(stderr), maxStderr)]
	if stderr = strings.TrimSpace(stderr); stderr != "" {
		c.source.Log.Warn("password command says", "setting", c.source.Name, "stderr", stderr)
	}
}
