package spooldir

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

// A recoverRow has the files that a crash leaves, and the files after Recover.
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
			d.newName = func() string { return "fresh" }
			row.crash(t, d)
			is.NoErr(d.Recover())
			is.Equal(tree(t, d), row.want)
			is.NoErr(d.Recover()) // a second Recover has no work
			is.Equal(tree(t, d), row.want)
		})
	}
}

func TestRecoverFilesOfRemove(t *testing.T) {
	testRecover(t, []recoverRow{
		{"nothing", func(t *testing.T, d *Dir) { drop(t, d, "a", "a") }, files{"a": "a"}},
		{"no subdirectories", func(t *testing.T, d *Dir) { os.Remove(d.File("tmp")); os.Remove(d.File("failed")) }, files{}},
		{"delivered and set aside", func(t *testing.T, d *Dir) { leaveAside(t, d, drop(t, d, "a", "sent")) }, files{}},
		{"another one set aside", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "new")
			id.Ino++
			leaveAside(t, d, id)
		}, files{"a": "new"}},
		{"written to and set aside", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "sent")
			drop(t, d, "a", "sent and more")
			leaveAside(t, d, id)
		}, files{"a": "sent and more"}},
		{"another one set aside, the name taken", func(t *testing.T, d *Dir) {
			id := drop(t, d, "a", "new")
			id.Size++
			leaveAside(t, d, id)
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
		{"put a moment ago, not linked yet", func(t *testing.T, d *Dir) { drop(t, d, "tmp/.put-a", "text") },
			files{"tmp/.put-a": "text"}},
		{"put, linked into the spool a moment ago", func(t *testing.T, d *Dir) { linked(t, d, "tmp/.put-a", "a", 0) },
			files{"a": "text", "tmp/.put-a": "text"}},
		{"put, linked into the spool two minutes ago", func(t *testing.T, d *Dir) {
			linked(t, d, "tmp/.put-a", "a", 2*time.Minute)
		}, files{"a": "text"}},
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
			drop(t, d, "..spoolgore.js123", "half")
			drop(t, d, "failed/.a.json1234567890", "half")
			drop(t, d, ".spoolgore.js", "{}")
			drop(t, d, "failed/a.json", "why")
		}, files{".spoolgore.js": "{}", "failed/a.json": "why"}},
		{"other files in failed", func(t *testing.T, d *Dir) {
			drop(t, d, "failed/.a.json", "hidden")
			drop(t, d, "failed/a.json7", "a message")
			drop(t, d, "failed/.a7", "of a person")
		}, files{"failed/.a.json": "hidden", "failed/a.json7": "a message", "failed/.a7": "of a person"}},
	})
}

// F1: version 1 gave a message up and left its name in tmp/. An operator has moved the message back since.
func TestRecoverKeepsAMessageThatWasMovedBack(t *testing.T) {
	left := func(back, why string) func(t *testing.T, d *Dir) {
		return func(t *testing.T, d *Dir) {
			id := drop(t, d, back, "text")
			is.New(t).NoErr(os.Link(d.File(back), d.At(tmpDir, sentName(id, "a"))))
			if why != "" {
				drop(t, d, why, "why")
			}
		}
	}
	testRecover(t, []recoverRow{
		{"moved back", left("a", "failed/a.json"), files{"a": "text", "failed/a.json": "why"}},
		{"moved back by its other name", left("a.1", "failed/a.1.json"), files{"a.1": "text", "failed/a.1.json": "why"}},
		{"moved back under another name", left("b", "failed/a.json"), files{"b": "text", "failed/a.json": "why"}},
		{"still in failed", left("failed/a", "failed/a.json"), files{"failed/a": "text", "failed/a.json": "why"}},
		{"on hold", left("hold/a", "failed/a.json"), files{"hold/a": "text", "failed/a.json": "why"}},
		{"a removal by link", left("a", ""), files{}},
	})
}

// F8: version 1 could lose the why-file of a message that was linked to failed/.
func TestRecoverSendsAMessageLinkedToFailedWithoutWhy(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	linked(t, d, "a", "failed/a", 0)
	drop(t, d, "failed/.untold-a", "")
	is.NoErr(d.Recover())
	is.True(isThere(d, "failed/a")) // an operator may be moving the message at this moment
	d.fs = lateStamps{d.fs}
	is.NoErr(d.Recover())
	is.Equal(tree(t, d), files{"a": "text"})
}

// lateStamps is a file system with old change times.
type lateStamps struct{ fsys.FS }

func (l lateStamps) Stamp(path string) (fsys.Stamp, error) {
	s, err := l.FS.Stamp(path)
	s.CTime = s.CTime.Add(-2 * handOver)
	return s, err
}

// A why-file under its temporary name is renamed if it belongs to the version in failed/.
func TestRecoverWhyFiles(t *testing.T) {
	temp := func(t *testing.T, d *Dir, message string, id ID) { drop(t, d, "failed/"+whyTemp(message, id), "why") }
	testRecover(t, []recoverRow{
		{"of the message", func(t *testing.T, d *Dir) { temp(t, d, "a", drop(t, d, "failed/a", "text")) },
			files{"failed/a": "text", "failed/a.json": "why"}},
		{"of a message in the spool", func(t *testing.T, d *Dir) { temp(t, d, "a", drop(t, d, "a", "text")) }, files{"a": "text"}},
		{"of another version", func(t *testing.T, d *Dir) {
			id := drop(t, d, "failed/a", "text")
			id.Size++
			temp(t, d, "a", id)
		}, files{"a": "text"}},
		{"of another version, whose name is taken", func(t *testing.T, d *Dir) {
			id := drop(t, d, "failed/a", "text")
			id.Size++
			temp(t, d, "a", id)
			drop(t, d, "a", "newer")
		}, files{"a": "newer", "fresh": "text"}},
		{"of another version, but there is a why-file", func(t *testing.T, d *Dir) {
			id := drop(t, d, "failed/a", "text")
			id.Size++
			temp(t, d, "a", id)
			drop(t, d, "failed/a.json", "right")
		}, files{"failed/a": "text", "failed/a.json": "right"}},
		{"marks", func(t *testing.T, d *Dir) {
			drop(t, d, "failed/.untold-a", "")
			drop(t, d, "failed/.untold-b", "")
			drop(t, d, "failed/b", "text")
		}, files{"failed/b": "text", "failed/.untold-b": ""}},
	})
}

func TestRecoverStaleFiles(t *testing.T) {
	const day = 24 * time.Hour
	aged := func(name string, ago time.Duration) func(t *testing.T, d *Dir) {
		return func(t *testing.T, d *Dir) {
			drop(t, d, name, "half")
			age(t, d.File(name), ago)
		}
	}
	put := "tmp/" + putPrefix + newName(time.Now())
	testRecover(t, []recoverRow{
		{"of Put", aged(put, day+time.Hour), files{}},
		{"of Put, from tomorrow", aged(put, -day-time.Hour), files{}}, // the clock was wrong then, or is wrong now
		{"of Put, a moment old", aged(put, 0), files{put: "half"}},
		{"of Put, not a day old", aged(put, day-time.Hour), files{put: "half"}},
		{"of Put, a clock that goes before", aged(put, time.Hour-day), files{put: "half"}},
		{"of Put, with several links", func(t *testing.T, d *Dir) { linked(t, d, put, "a", 2*day) }, files{"a": "text"}},
		{"of another program", aged("tmp/20250101T000000.000000000-aaaaaaaaaaaaaaaa.eml", 900*day),
			files{"tmp/20250101T000000.000000000-aaaaaaaaaaaaaaaa.eml": "half"}},
		{"hidden, of another program", aged("tmp/.putty", 900*day), files{"tmp/.putty": "half"}},
		{"a message that is called so", aged("hold/.put-a", 900*day), files{"hold/.put-a": "half"}},
	})
}

func TestRecoverLeavesFilesThatCannotBeRemoved(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "tmp/.put-a", "of another user")
	age(t, d.File("tmp/.put-a"), 48*time.Hour)
	opsOf(d).remove = func(string) error { return fs.ErrPermission }
	is.NoErr(d.Recover()) // the file does no harm, so the start succeeds
}

// leaveAside leaves the file a as a crash in Remove does, for a removal of the version id.
func leaveAside(t *testing.T, d *Dir, id ID) {
	t.Helper()
	if err := os.Rename(d.File("a"), d.At("tmp", sentName(id, "a"))); err != nil {
		t.Fatal(err)
	}
}

// linked makes a file with two names.
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
	opsOf(d).move = func(string, string) error { return errDisk }
	drop(t, d, "tmp/.sent-0-0-0-changed", "x")
	id := drop(t, d, "a", "sent")
	leaveAside(t, d, id)
	is.True(errors.Is(d.Recover(), errDisk))
	is.Equal(tree(t, d), files{"tmp/.sent-0-0-0-changed": "x"}) // the other file was recovered
}

func TestRecoverOfAMissingSpool(t *testing.T) {
	is := is.New(t)
	d, err := New(t.TempDir() + "/gone")
	is.NoErr(err)
	is.NoErr(d.Recover()) // no error: Prepare reports a missing spool
	is.True(strings.HasSuffix(d.Path(), "gone"))
}
