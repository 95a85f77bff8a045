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

// Command returns a Func that returns the first line of the command's output. The command runs by /bin/sh -c, without
// input, in a process group of its own. It runs at the first call, and again if the last secret was refused or the last
// run failed, never twice at the same time. After 30 seconds the process group is killed. Standard error goes to the
// log. Errors: the command cannot be run, takes too long, has an exit code other than 0, or prints no line.
func (s Source) Command(text string) Func {
	if s.limit == 0 {
		s.limit = commandLimit
	}
	c := &command{source: s, text: text, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c.give
}

// command is a command and its last secret. The holder of the turn may change the fields.
type command struct {
	source Source
	text   string
	turn   chan struct{} // holds one token; a channel instead of a mutex, so that a caller can stop waiting
	last   string        // last secret; empty: none
	runs   atomic.Int64  // number of finished runs
}

func (c *command) give(ctx context.Context, again bool) (string, error) {
	runs := c.runs.Load()
	select {
	case <-c.turn:
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", c.source.Name, context.Cause(ctx))
	}
	defer func() { c.turn <- struct{}{} }()
	// Several connections may be refused at the same time. A secret fetched for one of them meanwhile serves the
	// others.
	if c.last != "" && (!again || c.runs.Load() != runs) {
		return c.last, nil
	}
	c.last = "" // a failed run leaves no secret
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
	// stderr has room for a whole secret behind maxStderr bytes: the log would show half a secret otherwise.
	stdout, stderr := shell.Head{Max: maxSize + 2}, shell.Head{Max: maxStderr + maxSize}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := shell.Run(cmd)
	answer, _, _ := strings.Cut(stdout.String(), "\n")
	answer = strings.TrimSuffix(answer, "\r")
	c.tell(stderr.String(), answer)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // the command ended and left another process running, such as an agent
	case err != nil:
		return "", fmt.Errorf("run the command: %w", err)
	}
	if err := check(answer); err != nil {
		return "", fmt.Errorf("the first line of the command's output %w", err)
	}
	return answer, nil
}

// tell logs the command's standard error without the secret. A script with "set -x" prints the secret.
func (c *command) tell(stderr, answer string) {
	if answer != "" {
		stderr = strings.ReplaceAll(stderr, answer, "***")
	}
	stderr = stderr[:min(len(stderr), maxStderr)]
	if stderr = strings.TrimSpace(stderr); stderr != "" {
		c.source.Log.Warn("password command says", "setting", c.source.Name, "stderr", stderr)
	}
}
