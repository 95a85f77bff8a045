package spooldir

import (
	"os"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestRecoverLeavesWhatIsBeingWritten(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	w, err := os.Create(d.File("tmp/.put-a"))
	is.NoErr(err)
	defer w.Close()
	age(t, w.Name(), 48*time.Hour) // its writer is slow, or the clock has jumped
	is.NoErr(d.Recover())
	is.Equal(tree(t, d), files{"tmp/.put-a": ""})
	is.NoErr(w.Close())
	is.NoErr(d.Recover())
	is.Equal(tree(t, d), files{})
}
