package spoolgore

import (
	"syscall"
	"testing"
)

func mkfifo(t *testing.T, _ string) { t.Helper(); t.Skip("Windows has no FIFO in a directory") }

// asUser starts a process as the same user: Windows has no numbers of users.
func asUser(uint32) *syscall.SysProcAttr { return nil }
