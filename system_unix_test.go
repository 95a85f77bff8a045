//go:build unix

package spoolgore

import (
	"syscall"
	"testing"
)

func mkfifo(t *testing.T, path string) { t.Helper(); check(t, syscall.Mkfifo(path, 0o600)) }

// asUser starts a process as another user.
func asUser(id uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
}
