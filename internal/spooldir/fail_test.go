package spooldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

// failOne gives up one message.
func failOne(d *Dir, name string, id ID, own bool) (newName string, err error) {
	item := &Failing{Name: name, ID: id, Why: []byte("why"), Own: own, Owed: true}
	d.Failed().Fail([]*Failing{item})
	if item.NewName != "" {
		err = d.Failed().ReportMade(item.NewName) // tests of marks are in untold_test.go
	}
	return item.NewName, errors.Join(item.Err, err)
}

func TestFailChoosesAFreeName(t *testing.T) {
	long := strings.Repeat("x", 251) + ".eml"
	for _, row := range []struct {
		name, file string
		there      []string // files in failed/ before
		own        bool
		want       string
	}{
		{"first", "a", nil, false, "a"},
		{"message there", "a", []string{"a", "a.json"}, false, "a.1"},
		{"message without why-file", "a", []string{"a"}, false, "a.1"},
		{"several", "a", []string{"a", "a.json", "a.1", "a.1.json", "a.2.json"}, false, "a.3"},
		{"why-file of another", "a", []string{"a.json"}, false, "a.1"},
		{"why-file of its own", "a", []string{"a.json"}, true, "a"},
		{"own why-file, but a message there", "a", []string{"a", "a.json"}, true, "a.1"},
		{"only the first why-file is its own", "a", []string{"a", "a.json", "a.1.json"}, true, "a.2"},
		{"own why-file of a numbered one", "a.1", []string{"a", "a.json", "a.1.json"}, true, "a.1"},
		{"name of a why-file", "a.json", nil, false, "a.json.1"},
		{"name of a why-file in use", "a.json", []string{"a", "a.json"}, true, "a.json.1"},
		{"too long", long, nil, false, "fresh"},
		{"too long, again", long, []string{"fresh", "fresh.json"}, false, "fresh.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			d.newName = func() string { return "fresh" }
			want := files{}
			for _, name := range row.there {
				drop(t, d, "failed/"+name, "old")
				want["failed/"+name] = "old"
			}
			id := drop(t, d, row.file, "text")
			got, err := failOne(d, row.file, id, row.own)
			is.NoErr(err)
			is.Equal(got, row.want)
			want["failed/"+row.want], want["failed/"+row.want+".json"] = "text", "why"
			is.Equal(tree(t, d), want) // no other file has changed
			fi, err := os.Stat(d.File("failed/" + row.want + ".json"))
			is.NoErr(err)
			is.Equal(fi.Mode().Perm(), fs.FileMode(0o600))
		})
	}
}

func TestFailMakesTheDirectory(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	is.NoErr(os.Remove(d.File("failed")))
	is.NoErr(os.Remove(d.File("tmp")))
	_, err := failOne(d, "a", drop(t, d, "a", "text"), false)
	is.NoErr(err)
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"})
}

// Names chosen for one batch differ, although none of them exists in failed/ yet.
func TestFailChoosesDistinctNamesInABatch(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "failed/a", "old")
	var items []*Failing
	for _, name := range []string{"a", "a.1", "b.json", "b.json.1"} {
		items = append(items, &Failing{Name: name, ID: drop(t, d, name, name), Why: []byte("why " + name), Owed: true})
	}
	items[1].Own = true
	drop(t, d, "failed/a.1.json", "why of the second")
	d.Failed().Fail(items)
	for _, item := range items {
		is.NoErr(item.Err)
		is.Equal(tree(t, d)["failed/"+item.NewName], item.Name)
		is.Equal(tree(t, d)["failed/"+item.NewName+".json"], "why "+item.Name)
	}
	is.Equal(items[0].NewName, "a.2") // the why-file a.1.json belongs to the second message
	is.Equal(items[1].NewName, "a.1")
	is.Equal(items[2].NewName, "b.json.1")
	is.Equal(items[3].NewName, "b.json.1.1")
	names, err := d.Failed().ReportsOwed()
	is.NoErr(err)
	is.Equal(len(names), 4)
}

func TestFailSyncsBeforeItMoves(t *testing.T) {
	for n, want := range map[int][]string{
		1: {"sync file", "sync failed", "move a", "move .json"},
		2: {"sync file", "sync file", "sync failed", "move a", "move .json", "move b", "move .json"},
		3: {"sync all", "move a", "move .json", "move b", "move .json", "move c", "move .json"},
	} {
		is := is.New(t)
		d := newSpool(t)
		var steps []string
		real := *opsOf(d)
		step := func(text string, err error) error { steps = append(steps, text); return err }
		opsOf(d).syncFile = func(f fsys.File) error { return step("sync file", real.syncFile(f)) }
		opsOf(d).syncAll = func(path string) error { return step("sync all", real.syncAll(path)) }
		opsOf(d).syncDir = func(path string) error { return step("sync "+filepath.Base(path), real.syncDir(path)) }
		opsOf(d).move = func(from, to string) error {
			if strings.HasSuffix(to, ".json") {
				return step("move .json", real.move(from, to))
			}
			return step("move "+filepath.Base(from), real.move(from, to))
		}
		var items []*Failing
		for _, name := range []string{"a", "b", "c"}[:n] {
			items = append(items, &Failing{Name: name, ID: drop(t, d, name, "text"), Why: []byte("why")})
		}
		d.Failed().Fail(items)
		is.NoErr(items[0].Err)
		is.Equal(steps, want)
	}
}

// Without syncfs and without a rename that never overwrites, each file is synced, and each new name is synced before
// the old one is removed.
func TestFailByLinkSyncsBetween(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	var steps []string
	real := *opsOf(d)
	step := func(text string, err error) error { steps = append(steps, text); return err }
	opsOf(d).syncAll = func(string) error { return errors.ErrUnsupported }
	opsOf(d).move = func(string, string) error { return errors.ErrUnsupported }
	opsOf(d).syncFile = func(f fsys.File) error { return step("sync file", real.syncFile(f)) }
	opsOf(d).syncDir = func(path string) error { return step("sync "+filepath.Base(path), real.syncDir(path)) }
	opsOf(d).remove = func(path string) error { return step("remove "+filepath.Base(path)[:1], real.remove(path)) }
	var items []*Failing
	for _, name := range []string{"a", "b", "c"} {
		items = append(items, &Failing{Name: name, ID: drop(t, d, name, "text"), Why: []byte("why")})
	}
	d.Failed().Fail(items)
	is.Equal(steps, []string{"sync file", "sync file", "sync file", "sync failed",
		"sync failed", "remove a", "remove .", "sync failed", "remove b", "remove .", "sync failed", "remove c", "remove ."})
	is.Equal(len(tree(t, d)), 6)
}

// byLink makes d behave like a file system without a rename that never overwrites.
func byLink(d *Dir) { opsOf(d).move = func(string, string) error { return errors.ErrUnsupported } }

func TestFailOfAnotherVersion(t *testing.T) {
	for _, links := range []bool{false, true} {
		for _, row := range []struct {
			name   string
			change func(t *testing.T, d *Dir)
			left   files
		}{
			{"replaced", func(t *testing.T, d *Dir) { replace(t, d, "a", "new!") }, files{"a": "new!"}},
			{"written to", func(t *testing.T, d *Dir) { drop(t, d, "a", "longer") }, files{"a": "longer"}},
			{"removed", func(t *testing.T, d *Dir) { os.Remove(d.File("a")) }, files{}},
		} {
			for _, when := range []string{"before", "during the sync", "at the last moment"} {
				t.Run(fmt.Sprint(row.name, " ", when, ", links: ", links), func(t *testing.T) {
					is := is.New(t)
					d := newSpool(t)
					id := drop(t, d, "a", "text")
					keepInode(t, d, "a")
					if links {
						byLink(d)
					}
					change := func() { row.change(t, d) }
					switch when {
					case "before":
						change()
					case "during the sync":
						real := opsOf(d).syncFile
						opsOf(d).syncFile = func(f fsys.File) error { change(); return real(f) }
					default:
						before(d, 1, change)
					}
					name, err := failOne(d, "a", id, false)
					want := ErrChanged
					if row.name == "removed" {
						want = fs.ErrNotExist
					}
					is.True(errors.Is(err, want))
					is.Equal(name, "")
					is.Equal(tree(t, d), row.left) // the file is back in the spool, and failed/ is empty
				})
			}
		}
	}
}

// An operator puts a file into failed/ under the chosen name at the same moment. The message stays in the spool until
// the next Fail.
func TestFailNeverOverwritesInARace(t *testing.T) {
	for _, links := range []bool{false, true} {
		for file, left := range map[string]files{
			"failed/a":      {"a": "text", "failed/a": "by hand"},
			"failed/a.json": {"a": "text", "failed/a.json": "by hand"},
		} {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			if links {
				byLink(d)
			}
			before(d, 1, func() { drop(t, d, file, "by hand") })
			name, err := failOne(d, "a", id, false)
			is.True(errors.Is(err, fs.ErrExist))
			is.Equal(name, "")
			is.Equal(tree(t, d), left)
			name, err = failOne(d, "a", id, false)
			is.NoErr(err)
			is.Equal(name, "a.1")
		}
	}
}

// An operator moves a message out of failed/ as soon as it is there. It is given up, and has its why-file.
func TestFailOfAMessageThatIsMovedBackAtOnce(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	first := true
	opsOf(d).move = func(from, to string) error {
		err := os.Rename(from, to)
		if first {
			first = false
			is.NoErr(os.Rename(d.File("failed/a"), d.File("a")))
		}
		return err
	}
	name, err := failOne(d, "a", id, false)
	is.NoErr(err)
	is.Equal(name, "a")
	is.Equal(tree(t, d), files{"a": "text", "failed/a.json": "why"})
}

func TestFailOnASickDisk(t *testing.T) {
	for name, spoil := range map[string]func(d *Dir){
		"write of the why-file": func(d *Dir) { opsOf(d).write = func(fsys.File, []byte) (int, error) { return 0, errDisk } },
		"mark":                  func(d *Dir) { opsOf(d).touch = func(string) error { return errDisk } },
		"sync of the why-file":  func(d *Dir) { opsOf(d).syncFile = func(fsys.File) error { return errDisk } },
		"sync of failed":        func(d *Dir) { opsOf(d).syncDir = func(string) error { return errDisk } },
		"move":                  func(d *Dir) { failMoves(d, func(string) bool { return true }) },
		"move of the why-file":  func(d *Dir) { failMoves(d, IsWhyFile) },
		"link": func(d *Dir) {
			byLink(d)
			opsOf(d).link = func(string, string) error { return errDisk }
		},
		"unlink in the spool": func(d *Dir) {
			byLink(d)
			real := opsOf(d).remove
			opsOf(d).remove = func(path string) error {
				if path == d.File("a") {
					return errDisk
				}
				return real(path)
			}
		},
	} {
		for own, old := range map[bool]files{false: {}, true: {"failed/a.json": "old"}} {
			t.Run(fmt.Sprint(name, own), func(t *testing.T) {
				is := is.New(t)
				d := newSpool(t)
				id := drop(t, d, "a", "text")
				want := files{"a": "text"}
				if own {
					drop(t, d, "failed/a.json", old["failed/a.json"])
					want["failed/a.json"] = "old"
				}
				if own && name == "move of the why-file" {
					opsOf(d).rename = func(string, string) error { return errDisk }
				}
				spoil(d)
				newName, err := failOne(d, "a", id, own)
				is.True(errors.Is(err, errDisk))
				is.Equal(newName, "")
				is.Equal(tree(t, d), want) // no change: Fail can be called again
			})
		}
	}
}

// failMoves makes moves fail whose target satisfies spoiled.
func failMoves(d *Dir, spoiled func(path string) bool) {
	real := opsOf(d).move
	opsOf(d).move = func(from, to string) error {
		if spoiled(to) {
			return errDisk
		}
		return real(from, to)
	}
}

// One message of a batch fails at each step, and the other messages are given up.
func TestFailOfABatchWithErrors(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	items := make([]*Failing, 6)
	for i := range items {
		name := fmt.Sprint(i)
		items[i] = &Failing{Name: name, ID: drop(t, d, name, "text"), Why: []byte("why"), Owed: true}
	}
	items[0].ID.Size++               // another version of the file
	is.NoErr(os.Remove(d.File("1"))) // the file is missing
	items[2].Err = errDisk           // this item is skipped
	failMoves(d, func(path string) bool { return path == d.File("failed/3") })
	syncAll := opsOf(d).syncAll
	opsOf(d).syncAll = func(path string) error { drop(t, d, "failed/4", "by hand"); return syncAll(path) }
	d.Failed().Fail(items)
	for i, want := range []error{ErrChanged, fs.ErrNotExist, errDisk, errDisk, fs.ErrExist, nil} {
		is.True(errors.Is(items[i].Err, want))
		is.Equal(items[i].NewName != "", want == nil)
	}
	is.Equal(tree(t, d), files{"0": "text", "2": "text", "3": "text", "4": "text", "failed/4": "by hand",
		"failed/5": "text", "failed/5.json": "why", "failed/.untold-5": ""})
}

// F8: the disk refuses every step of the undoing, too. A message in failed/ keeps its why-file, whatever its name is,
// and a restart completes the move.
func TestUndoNeverTakesTheWhyFileOfAMessageInFailed(t *testing.T) {
	for name, spoil := range map[string]func(d *Dir){
		"answer of the move lost": func(d *Dir) {
			real := opsOf(d).move
			opsOf(d).move = func(from, to string) error { return errors.Join(real(from, to), errDisk) }
		},
		"why-file not moved, message not moved back": func(d *Dir) {
			failMoves(d, func(path string) bool { return path != d.File("failed/a") })
		},
		"link not removed": func(d *Dir) {
			byLink(d)
			opsOf(d).remove = func(string) error { return errDisk }
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d := newSpool(t)
			id := drop(t, d, "a", "text")
			spoil(d)
			item := &Failing{Name: "a", ID: id, Why: []byte("why"), Owed: true}
			d.Failed().Fail([]*Failing{item})
			is.Equal(tree(t, d)["failed/a"], "text")
			again, err := New(d.Path())
			is.NoErr(err)
			is.NoErr(again.Recover())
			is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why", "failed/.untold-a": ""})
		})
	}
}

// A message that could not be removed from the spool, and is linked in failed/, is given up by the next Fail.
func TestFailFindsItsOwnLink(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	id := drop(t, d, "a", "text")
	byLink(d)
	remove := opsOf(d).remove
	opsOf(d).remove = func(string) error { return syscall.EIO }
	_, err := failOne(d, "a", id, false)
	is.True(errors.Is(err, syscall.EIO))
	opsOf(d).remove = remove
	name, err := failOne(d, "a", id, false)
	is.NoErr(err)
	is.Equal(name, "a")
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"})
}

func TestWhy(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	_, err := d.Failed().ReturnedWhy("a")
	is.True(errors.Is(err, fs.ErrNotExist)) // the message was never in failed/
	is.NoErr(d.Failed().RemoveWhy("a"))     // no why-file to remove

	name, err := failOne(d, "a", drop(t, d, "a", "text"), false)
	is.NoErr(err)
	_, err = d.Failed().ReturnedWhy(name)
	is.True(errors.Is(err, fs.ErrNotExist)) // the message is in failed/: the why-file belongs to it
	is.NoErr(d.Failed().RemoveWhy(name))
	is.Equal(tree(t, d), files{"failed/a": "text", "failed/a.json": "why"}) // the why-file is kept

	is.NoErr(os.Rename(d.File("failed/a"), d.File("a"))) // mv failed/a .
	why, err := d.Failed().ReturnedWhy("a")
	is.NoErr(err)
	is.Equal(string(why), "why")
	is.NoErr(d.Failed().RemoveWhy("a"))
	is.Equal(tree(t, d), files{"a": "text"})
}

func TestWhyOfANameTooLongToHaveOne(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	long := strings.Repeat("x", 255)
	id := drop(t, d, long, "text")
	_, err := d.Failed().ReturnedWhy(long)
	is.True(errors.Is(err, fs.ErrNotExist)) // there was never a why-file of this name, so this is no error
	is.NoErr(d.Failed().RemoveWhy(long))
	_, err = failOne(d, long, id, false)
	is.NoErr(err)
}

func TestWhyIsBounded(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "failed/a.json", "")
	is.NoErr(os.Truncate(d.File("failed/a.json"), 1<<20))
	why, err := d.Failed().ReturnedWhy("a")
	is.NoErr(err)
	is.Equal(len(why), 1<<20)
	is.NoErr(os.Truncate(d.File("failed/a.json"), maxWhy+1))
	_, err = d.Failed().ReturnedWhy("a")
	is.True(err != nil) // one byte above the limit
}

func TestWhyOfASymlink(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	drop(t, d, "hold/secret", "x")
	is.NoErr(os.Symlink("../hold/secret", d.File("failed/a.json")))
	_, err := d.Failed().ReturnedWhy("a")
	is.True(errors.Is(err, ErrNotRegular)) // a link is not followed
}
