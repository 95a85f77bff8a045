package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/testmail"
)

func TestWhereTheMessageIs(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	mail, spool := testMail{out: &out}, t.TempDir()
	dir, err := spooldir.New(spool)
	is.NoErr(err)
	mail.printPlace(dir, "x.eml", testmail.NoAnswer, "the daemon goes on with it")
	is.Equal(out.String(), "") // the message was moved elsewhere: it is not in the spool
	is.NoErr(os.WriteFile(filepath.Join(spool, "x.eml"), []byte("x"), 0o600))
	mail.printPlace(dir, "x.eml", testmail.NoAnswer, "the daemon goes on with it")
	is.Equal(out.String(), "It is in the spool, and the daemon goes on with it. To cancel it: rm "+filepath.Join(spool, "x.eml")+"\n")
}
