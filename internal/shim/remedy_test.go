package shim

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

func TestAnErrorOfTheSpoolSaysWhatToDo(t *testing.T) {
	is := is.New(t)
	spool, err := spooldir.New("/mail")
	is.NoErr(err)
	for err, want := range map[error]string{
		&fs.PathError{Op: "open", Path: "/mail/tmp/x", Err: fs.ErrPermission}: "; this user may not write to /mail: ",
		&fs.PathError{Op: "stat", Path: "/mail", Err: fs.ErrNotExist}:         "; make the directory /mail, ",
	} {
		is.True(strings.HasPrefix(remedy(err, spool), want))
	}
	is.Equal(remedy(errors.New("no space left on device"), spool), "")
	is.Equal(remedy(fs.ErrPermission, nil), "") // the error is about the configuration, not about the spool
}
