//go:build unix

package shell

import (
	"os/exec"
	"syscall"
)

// killGroup has the end of the command's time end what it has started too.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
