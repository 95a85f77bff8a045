package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

func TestSystemTrouble(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}:                true,
		fmt.Errorf("fail a: %w", &os.LinkError{Err: syscall.EROFS}):               true,
		errors.Join(errors.New("first"), os.NewSyscallError("x", syscall.EMFILE)): true,
		&fs.PathError{Op: "open", Path: "a", Err: syscall.EACCES}:                 false, // about this file only
		ErrNotRegular: false,
		nil:           false,
	} {
		t.Run(fmt.Sprint(err), func(t *testing.T) { is.New(t).Equal(SystemTrouble(err), want) })
	}
}
