// Package shell runs commands of the configuration.
package shell

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// pipeLimit is the time limit for reading the output of a process that outlives the command.
const pipeLimit = 2 * time.Second

// Command returns /bin/sh -c line without input, in a process group of its own. The end of ctx kills the group.
func Command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	Prepare(cmd)
	return cmd
}

// Prepare gives cmd the environment for commands and a process group of its own, which the end of its context kills.
func Prepare(cmd *exec.Cmd) {
	cmd.WaitDelay, cmd.Env = pipeLimit, Environ()
	killGroup(cmd)
}

// Environ returns the environment for commands: the daemon's environment without secrets and without the variables that
// systemd sets for the daemon alone.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return isPrivate(name)
	})
}

// isPrivate reports whether a variable is not for commands.
func isPrivate(name string) bool {
	for _, prefix := range []string{"LISTEN_", "WATCHDOG_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	isSecret := strings.HasSuffix(name, "PASSWORD") || strings.HasSuffix(name, "TOKEN")
	if strings.HasPrefix(name, "SPOOLGORE_") && isSecret {
		return true
	}
	return name == "CREDENTIALS_DIRECTORY" || name == "NOTIFY_SOCKET"
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
