package spooldir

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// umaskVar makes the test binary a process with that umask. The process puts a message into the spool in spoolVar, or
// makes the spool if it does not exist.
const umaskVar, spoolVar = "SPOOLGORE_TEST_UMASK", "SPOOLGORE_TEST_SPOOL"

// A message of a process with any umask, and all files that the process makes, can be read by the owner of the spool.
func TestPutUnderUmask(t *testing.T) {
	if mask, err := strconv.ParseUint(os.Getenv(umaskVar), 8, 32); err == nil {
		putUnderUmask(t, int(mask))
		return
	}
	t.Parallel()
	for _, umask := range []string{"777", "700", "400", "200", "077", "000"} {
		for _, made := range []bool{true, false} {
			t.Run(fmt.Sprint(umask, made), func(t *testing.T) {
				t.Parallel()
				is := is.New(t)
				d := ownedByUser(t)
				if !made {
					is.NoErr(os.Remove(d.Path()))
				}
				for range 2 { // the second call uses the directories of the first
					cmd := exec.Command("/proc/self/exe", "-test.run=^TestPutUnderUmask$")
					cmd.Env = append(os.Environ(), umaskVar+"="+umask, spoolVar+"="+d.Path())
					cmd.Dir = "/"
					if os.Geteuid() == 0 {
						cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
					}
					out, err := cmd.CombinedOutput()
					if err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
				}
				entries, err := os.ReadDir(d.Path())
				is.NoErr(err)
				messages := 0
				for _, e := range entries {
					fi, err := e.Info()
					is.NoErr(err)
					want := os.FileMode(0o600)
					if fi.IsDir() {
						want = 0o700
					} else if e.Name() != LockFile {
						messages++
					}
					is.Equal(fi.Mode().Perm()&0o700, want) // of e
				}
				is.Equal(messages, 2)
			})
		}
	}
}

// ownedByUser returns a spool that belongs to a user other than root.
func ownedByUser(t *testing.T) *Dir {
	t.Helper()
	is := is.New(t)
	top, err := os.MkdirTemp("", "umask")
	is.NoErr(err)
	t.Cleanup(func() { os.RemoveAll(top) })
	is.NoErr(os.Chmod(top, 0o755))
	d, err := New(top + "/spool")
	is.NoErr(err)
	is.NoErr(os.Mkdir(d.Path(), 0o700))
	if os.Geteuid() == 0 {
		is.NoErr(os.Chown(top, 65534, 65534))
		is.NoErr(os.Chown(d.Path(), 65534, 65534))
	}
	return d
}

func putUnderUmask(t *testing.T, mask int) {
	is := is.New(t)
	syscall.Umask(mask)
	d, err := New(os.Getenv(spoolVar))
	is.NoErr(err)
	is.NoErr(Create(d, ""))
	_, err = d.Prepare()
	is.NoErr(err)
	name, err := d.Put(func(w io.Writer) error { _, err := io.WriteString(w, "Subject: x\n\nhi\n"); return err })
	is.NoErr(err)
	_, err = os.ReadFile(d.File(name))
	is.NoErr(err)
	lock, err := OpenOwn(d.File(LockFile))
	is.NoErr(err)
	is.NoErr(lock.Close())
}
