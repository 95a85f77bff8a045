package spooldir

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// A recoverRow is what a crash leaves, and what Recover makes of it.
type recoverRow struct {
	name  string
	crash func(t *testing.T, d *Dir)
	want  files
}

func testRecover(t *testing.T, rows []recoverRow) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			d.ops.newName = func() string { return "fresh" }
			row.crash(t, d)
			is.NoErr(d.Recover())
			is.Equal(tree(t, d), row.want)
			is.NoErr(d.Recover()) // nothing is left to do
			is.Equal(tree(t, d), row.want)
		})
	}
}

func TestRecoverWhatWasSetAside(t *testing.T) {
	testRecover(t, []recoverRow{
		{"nothing", func(t *testing.T, d *Dir) { drop(t, d, "a", "a") }, files{"a": "a"}},
		{"no subdirectories", func(t *testing.T, d *Dir) { os.Remove(d.File("tmp")); os.Remove(d.File("failed")) }, files{}},
		{"delivered and set aside", func(t *testing.T, d *Dir) { setAside(t, d, drop(t, d, "a", "sent")) }, files{}},
		{"another one set aside", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "new")
			id.Ino++
			setAside(t, d, id)
		}, files{"a": "new"}},
		{"written to and set aside", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "sent")
			drop(t, d, "a", "sent and more")
			setAside(t, d, id)
		}, files{"a": "sent and more"}},
		{"another one set aside, the name taken", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "new")
			id.Size++
			setAside(t, d, id)
			drop(t, d, "a", "newer")
		}, files{"a": "newer", "fresh": "new"}},
		{"a name that cannot be", func(t *testing.T, d *Dir) { drop(t, d, "tmp/.sent-0-0-0-.b", "new") }, files{"fresh": "new"}},
	})
}

func TestRecoverOtherFiles(t *testing.T) {
	const minutes = 10 * time.Minute
	testRecover(t, []recoverRow{
		{"not ours", func(t *testing.T, d *Dir) {
			drop(t, d, "tmp/.sent-1", "x")
			drop(t, d, "tmp/building", "y")
		}, files{"tmp/.sent-1": "x", "tmp/building": "y"}},
		{"linked into the spool, writer dead", func(t *testing.T, d *Dir) { linked(t, d, "tmp/a", "a", minutes) }, files{"a": "text"}},
		{"linked into the spool, writer alive", func(t *testing.T, d *Dir) { linked(t, d, "tmp/a", "a", 0) },
			files{"a": "text", "tmp/a": "text"}},
		{"linked elsewhere", func(t *testing.T, d *Dir) {
			linked(t, d, "tmp/a", "hold/a", minutes)
			drop(t, d, "a", "text")
		}, files{"a": "text", "hold/a": "text", "tmp/a": "text"}},
		{"failed, not yet out of the spool", func(t *testing.T, d *Dir) {
			linked(t, d, "a", "failed/a.1", 0)
			drop(t, d, "failed/a.1.json", "why")
			drop(t, d, "b", "b")
		}, files{"b": "b", "failed/a.1": "text", "failed/a.1.json": "why"}},
		{"being linked back by hand", func(t *testing.T, d *Dir) { linked(t, d, "failed/a", "a", 0) },
			files{"a": "text", "failed/a": "text"}},
		{"own half-written files", func(t *testing.T, d *Dir) {
			drop(t, d, "..spoolgore.js123", "old")
			age(t, d.File("..spoolgore.js123"), 2*time.Hour)
			drop(t, d, "..spoolgore.js456", "young")
			drop(t, d, ".spoolgore.js", "{}")
			age(t, d.File(".spoolgore.js"), 2*time.Hour)
		}, files{"..spoolgore.js456": "young", ".spoolgore.js": "{}"}},
	})
}

// setAside leaves the file a as a crash in Remove does, which was told to remove id.
func setAside(t *testing.T, d *Dir, id ID) {
	t.Helper()
	if err := os.Rename(d.File("a"), d.in("tmp", sentName(id, "a"))); err != nil {
		t.Fatal(err)
	}
}

// linked makes one file with two names.
func linked(t *testing.T, d *Dir, first, second string, ago time.Duration) {
	t.Helper()
	drop(t, d, first, "text")
	age(t, d.File(first), ago)
	if err := os.Link(d.File(first), d.File(second)); err != nil {
		t.Fatal(err)
	}
}

func TestRecoverGoesOnAfterAnError(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	d.ops.move = func(string, string) error { return errDisk }
	drop(t, d, "tmp/.sent-0-0-0-changed", "x")
	id := drop(t, d, "a", "sent")
	setAside(t, d, id)
	is.True(errors.Is(d.Recover(), errDisk))
	is.Equal(tree(t, d), files{"tmp/.sent-0-0-0-changed": "x"}) // the other one was dealt with
}

// After a crash at any step of Fail, Recover and a second Fail lead to the same end.
func TestFailAfterACrash(t *testing.T) {
	is := is.New(t)
	for step := range 6 {
		d := newSpool(t)
		id := drop(t, d, "a", "text")
		crashAt(d, step)
		crashed := func() (crashed bool) {
			defer func() { crashed = recover() != nil }()
			_, err := d.Fail("a", id, []byte("why"), false)
			is.NoErr(err)
			return false
		}()
		again, err := New(d.Path())
		is.NoErr(err)
		is.NoErr(again.Recover())
		if _, err := again.Stat("a"); err == nil {
			_, why := again.Why("a")
			_, err = again.Fail("a", id, []byte("why"), why == nil)
			is.NoErr(err)
		}
		is.Equal(tree(t, again), files{"failed/a": "text", "failed/a.json": "why"})
		is.Equal(crashed, step < 4) // link, sync of failed/, move, sync of the spool: the steps that exist
	}
}

// crashAt makes the n-th of the recorded steps of d panic.
func crashAt(d *Dir, n int) {
	step := func() {
		if n--; n == -1 {
			panic("crash")
		}
	}
	real := d.ops
	d.ops.link = func(from, to string) error { step(); return real.link(from, to) }
	d.ops.move = func(from, to string) error { step(); return real.move(from, to) }
	d.ops.syncDir = func(path string) error { step(); return real.syncDir(path) }
}

func TestRecoverOfAMissingSpool(t *testing.T) {
	is := is.New(t)
	d, err := New(t.TempDir() + "/gone")
	is.NoErr(err)
	is.NoErr(d.Recover()) // nothing there, nothing to do: Prepare tells
	is.True(strings.HasSuffix(d.Path(), "gone"))
}
