// Package shell runs the command lines that a user has configured.
package shell

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// pipeLimit is how long a process that a command has left behind can hold up its output.
const pipeLimit = 2 * time.Second

// Command is /bin/sh -c line with nothing to read, in a process group of its own: when ctx ends it is killed with all
// that it has started.
func Command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.WaitDelay = pipeLimit
	killGroup(cmd)
	return cmd
}

// Head is a Writer that keeps the first Max bytes, and takes all.
type Head struct {
	strings.Builder
	Max int
}

func (h *Head) Write(p []byte) (int, error) {
	h.Builder.Write(p[:min(len(p), h.Max-h.Len())])
	return len(p), nil
}
