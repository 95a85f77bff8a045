// Package shell runs command lines of the configuration.
package shell

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// pipeLimit bounds the wait for the output of a process that a command has left behind.
const pipeLimit = 2 * time.Second

// Command returns /bin/sh -c line without input, in a process group of its own. The end of ctx kills the group.
func Command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.WaitDelay = pipeLimit
	killGroup(cmd)
	return cmd
}

// Head is a Writer that keeps the first Max bytes and discards the others.
type Head struct {
	strings.Builder
	Max int
}

func (h *Head) Write(p []byte) (int, error) {
	h.Builder.Write(p[:min(len(p), h.Max-h.Len())])
	return len(p), nil
}
