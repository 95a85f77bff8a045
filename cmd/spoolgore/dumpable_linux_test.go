package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// A process of the same user cannot read the memory of a daemon with a password.
func TestDaemonWithAPasswordCannotBeTraced(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can act for another user")
	}
	binary := filepath.Join(t.TempDir(), "spoolgore") // the user may not execute the binary in the directory of go test
	text, err := os.ReadFile(os.Args[0])
	must(t, err)
	syscall.ForkLock.RLock() // otherwise a process that another test starts inherits the open file: ETXTBSY
	err = os.WriteFile(binary, text, 0o755)
	syscall.ForkLock.RUnlock()
	must(t, err)
	must(t, os.Chmod(filepath.Dir(filepath.Dir(binary)), 0o755))
	for _, password := range []string{"", "a long secret"} {
		is := is.New(t)
		spool := userSpool(t)
		cmd := exec.Command(binary, "-smtpaddr", login("ann", password).Listen(t), spool)
		cmd.Env = append(os.Environ(), asCommand+"=1", "HOME=/nonexistent")
		if password != "" {
			cmd.Env = append(cmd.Env, "SPOOLGORE_SMTPUSER=ann", "SPOOLGORE_SMTPPASSWORD="+password)
		}
		user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: spoolUser, Gid: spoolUser}}
		cmd.SysProcAttr = user
		must(t, cmd.Start())
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
		eventually(t, "the daemon sends", func() bool { return !exists(filepath.Join(spool, "new.eml")) })
		look := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
		look.SysProcAttr = user
		is.Equal(look.Run() == nil, password == "")
	}
}
