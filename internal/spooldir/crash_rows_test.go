package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"testing"
)

// operations are the tables in docs/durability.md, with their texts.
func operations() []operation {
	put := []string{"create", "write half", "write", "sync file in tmp"}
	fail := []string{"write half", "write in failed", "sync file in failed", "sync failed"}
	return []operation{
		{section: "Put", name: "Put", run: runPut, rows: []crashRow{
			{"`tmp/.put-NAME` is made", put[0], files{"tmp/.put-fresh": ""}, nil},
			{"half of it is written", put[1], files{"tmp/.put-fresh": "half"}, nil},
			{"all of it is written", put[2], files{"tmp/.put-fresh": "whole"}, nil},
			{"it is synced", put[3], files{"tmp/.put-fresh": "whole"}, nil},
			{"it is renamed into the spool", "move to spool", files{"fresh": "whole"}, nil},
			{"the spool directory is synced, `Put` returns", "sync spool", files{"fresh": "whole"}, nil},
		}},
		{section: "Removal", name: "Remove", prepare: inSpool, run: runRemove, rows: []crashRow{
			{"set aside: renamed to `tmp/.sent-...-NAME`", "move to tmp", files{"tmp/.sent-*-a": "whole"}, files{}},
			{"removed there", "remove in tmp", files{}, nil},
		}},
		{section: "Removal", name: "Remove another version", prepare: inSpool, run: runRemoveAnother, rows: []crashRow{
			{"set aside, and it turns out to be another file that has just taken the name", "move to tmp",
				files{"tmp/.sent-*-a": "another"}, files{"a": "another"}},
			{"renamed back", "move to spool", files{"a": "another"}, nil},
		}},
		{section: "Giving up", name: "Fail", prepare: inSpool, run: runFail, again: failAgain, ends: []files{failedFiles},
			rows: []crashRow{
				{"half of `failed/.NAME.jsonN`, the why-file, is written", fail[0],
					files{"a": "whole", "failed/.a.json*": "w"}, files{"a": "whole"}},
				{"all of it is written", fail[1], files{"a": "whole", "failed/.a.json*": "why"}, files{"a": "whole"}},
				{"it is synced", fail[2], files{"a": "whole", "failed/.a.json*": "why"}, files{"a": "whole"}},
				{"`failed/` is synced", fail[3], files{"a": "whole", "failed/.a.json*": "why"}, files{"a": "whole"}},
				{"the message is renamed to `failed/NAME`", "move to failed",
					files{"failed/a": "whole", "failed/.a.json*": "why"}, failedFiles},
				{"the why-file is renamed to `failed/NAME.json`", "move to failed", failedFiles, nil},
				{"`hold/` and `failed/` are synced", "sync failed", failedFiles, nil},
				{"the spool directory is synced", "sync spool", failedFiles, nil},
			},
			since: [][]string{6: {"sync hold"}, 7: nil}},
		{section: "Giving up", name: "Fail again", prepare: movedBack, run: runFailOwn, rows: []crashRow{
			{"a message that was moved back before: the message is renamed", "move to failed",
				files{"failed/a": "whole", "failed/a.json": "old", "failed/.a.json*": "why"}, failedFiles},
			{"a message that was moved back before: the why-file replaces the old one", "move to failed", failedFiles, nil},
		}, since: [][]string{fail}},
		{section: "Giving up", name: "Fail many", prepare: threeInSpool, run: runFailMany, rows: []crashRow{
			{"three messages or more: one call syncs all why-files and their names", "sync all",
				files{"a": "1", "b": "2", "c": "3", "failed/.a.json*": "why", "failed/.b.json*": "why", "failed/.c.json*": "why"},
				files{"a": "1", "b": "2", "c": "3"}},
			{"three messages or more: the first message is renamed", "move to failed",
				files{"failed/a": "1", "b": "2", "c": "3",
					"failed/.a.json*": "why", "failed/.b.json*": "why", "failed/.c.json*": "why"},
				files{"failed/a": "1", "failed/a.json": "why", "b": "2", "c": "3"}},
			{"three messages or more: all are renamed", "move to failed", threeFailed, nil},
		}, since: [][]string{repeat(fail[:2], 3), nil, repeat([]string{"move to failed"}, 4)}, many: true},
		{section: "Giving up", name: "Fail another version", prepare: inSpool, run: runFailAnother, rows: []crashRow{
			{"the message is renamed, and turns out to be another file that has just taken the name", "move to failed",
				files{"failed/a": "another", "failed/.a.json*": "why"}, files{"a": "another"}},
			{"renamed back", "move to spool", files{"a": "another", "failed/.a.json*": "why"}, files{"a": "another"}},
			{"the why-file is removed", "remove in failed", files{"a": "another"}, nil},
		}, since: [][]string{fail}},
		{section: "Moving back", name: "Move back", prepare: inFailed, run: runMoveBack, rows: []crashRow{
			{"`failed/NAME` is renamed into the spool, by hand", "mv", files{"a": "whole", "failed/a.json": "why"}, nil},
			{"delivered, and set aside", "move to tmp",
				files{"tmp/.sent-*-a": "whole", "failed/a.json": "why"}, files{"failed/a.json": "why"}},
			{"removed there", "remove in tmp", files{"failed/a.json": "why"}, nil},
			{"the why-file is removed", "remove in failed", files{}, nil},
		}},
		{section: "Status file", name: "Status", prepare: withStatus, run: runStatus, rows: []crashRow{
			{"half of `..spoolgore.jsN` is written", "write half", files{".spoolgore.js": "old", "..spoolgore.js*": "ne"}, files{".spoolgore.js": "old"}},
			{"it is synced and renamed to `.spoolgore.js`", "replace in spool", files{".spoolgore.js": "new!"}, nil},
			{"the spool directory is synced", "sync spool", files{".spoolgore.js": "new!"}, nil},
		}},
		{section: "Reports", name: "Report", prepare: inSpool, run: runReport, again: reportAgain,
			since: [][]string{nil, append(slices.Clone(fail), "move to failed"), {"write", "sync file in tmp", "move to spool"}},
			rows: []crashRow{
				{"`failed/.untold-NAME` is made, before the why-file", "make in failed",
					files{"a": "whole", "failed/.untold-a": ""}, files{"a": "whole"}},
				{"the message is given up, [as above](#giving-up)", "move to failed",
					files{"failed/a": "whole", "failed/a.json": "why", "failed/.untold-a": ""}, nil},
				{"the report is in the spool, [as above](#put)", "sync spool",
					files{"failed/a": "whole", "failed/a.json": "why", "failed/.untold-a": "", "fresh": "report"}, nil},
				{"`failed/.untold-NAME` is removed", "remove in failed",
					files{"failed/a": "whole", "failed/a.json": "why", "fresh": "report"}, nil},
			},
			ends: []files{
				{"failed/a": "whole", "failed/a.json": "why", "second": "report"},
				{"failed/a": "whole", "failed/a.json": "why", "second": "report"},
				{"failed/a": "whole", "failed/a.json": "why", "fresh": "report", "second": "report"},
				{"failed/a": "whole", "failed/a.json": "why", "fresh": "report"},
			}},
		{section: "Reports", name: "Reports", run: runReports, many: true,
			since: [][]string{nil, repeat([]string{"move to spool"}, 2)}, rows: []crashRow{
				{"three reports or more: one call syncs all files in `tmp/`", "sync all",
					files{"tmp/.put-1": "x", "tmp/.put-2": "x", "tmp/.put-3": "x"}, nil},
				{"three reports or more: all are renamed into the spool", "move to spool", files{"1": "x", "2": "x", "3": "x"}, nil},
				{"three reports or more: the spool directory is synced", "sync spool", files{"1": "x", "2": "x", "3": "x"}, nil},
			}},
		{section: "A rename in two steps", name: "Put by link", byLink: true, run: runPut, since: [][]string{put}, rows: []crashRow{
			{"`Put`: linked into the spool", "link to spool", files{"fresh": "whole", "tmp/.put-fresh": "whole"}, files{"fresh": "whole"}},
			{"`Put`: removed in `tmp/`", "remove in tmp", files{"fresh": "whole"}, nil},
			{"`Put`: the spool directory is synced", "sync spool", files{"fresh": "whole"}, nil},
		}},
		{section: "A rename in two steps", name: "Remove by link", byLink: true, prepare: inSpool, run: runRemove, rows: []crashRow{
			{"removal: linked in `tmp/`", "link to tmp", files{"a": "whole", "tmp/.sent-*-a": "whole"}, files{}},
			{"removal: removed in the spool", "remove in spool", files{"tmp/.sent-*-a": "whole"}, files{}},
			{"removal: removed in `tmp/`", "remove in tmp", files{}, nil},
		}},
		{section: "A rename in two steps", name: "Remove another version by link", byLink: true, prepare: inSpool, run: runRemoveAnother, rows: []crashRow{
			{"another file set aside: linked in `tmp/`", "link to tmp",
				files{"a": "another", "tmp/.sent-*-a": "another"}, files{"a": "another"}},
			{"another file set aside: removed in the spool", "remove in spool", files{"tmp/.sent-*-a": "another"}, files{"a": "another"}},
			{"another file set aside: linked back", "link to spool",
				files{"a": "another", "tmp/.sent-*-a": "another"}, files{"a": "another"}},
			{"another file set aside: removed in `tmp/`", "remove in tmp", files{"a": "another"}, nil},
		}},
		{section: "A rename in two steps", name: "Remove a returned message by link", byLink: true, prepare: movedBack,
			run: runRemove, rows: []crashRow{
				{"removal of a message that was moved back from `failed/`: linked in `tmp/`", "link to tmp",
					files{"a": "whole", "tmp/.sent-*-a": "whole", "failed/a.json": "old"},
					files{"a": "whole", "failed/a.json": "old"}},
				{"removal of a message that was moved back from `failed/`: removed in the spool", "remove in spool",
					files{"tmp/.sent-*-a": "whole", "failed/a.json": "old"}, files{"failed/a.json": "old"}},
				{"removal of a message that was moved back from `failed/`: removed in `tmp/`", "remove in tmp",
					files{"failed/a.json": "old"}, nil},
			}},
		{section: "A rename in two steps", name: "Fail by link", byLink: true, prepare: inSpool, run: runFail, since: [][]string{fail},
			again: failAgain, ends: []files{failedFiles}, rows: []crashRow{
				{"giving up: linked in `failed/`", "link to failed",
					files{"a": "whole", "failed/a": "whole", "failed/.a.json*": "why"}, failedFiles},
				{"giving up: `failed/` is synced", "sync failed",
					files{"a": "whole", "failed/a": "whole", "failed/.a.json*": "why"}, failedFiles},
				{"giving up: removed in the spool", "remove in spool",
					files{"failed/a": "whole", "failed/.a.json*": "why"}, failedFiles},
				{"giving up: the why-file is linked to `failed/NAME.json`", "link to failed",
					files{"failed/a": "whole", "failed/a.json": "why", "failed/.a.json*": "why"}, failedFiles},
				{"giving up: `failed/.NAME.jsonN` is removed", "remove in failed", failedFiles, nil},
			}, tail: []string{"sync hold", "sync failed", "sync spool"}},
	}
}

// repeat returns steps n times in a row.
func repeat(steps []string, n int) []string { return slices.Repeat(steps, n) }

var failedFiles = files{"failed/a": "whole", "failed/a.json": "why"}

func inSpool(t *testing.T, d *Dir) { drop(t, d, "a", whole) }

func inFailed(t *testing.T, d *Dir) {
	drop(t, d, "failed/a", whole)
	drop(t, d, "failed/a.json", "why")
}

func movedBack(t *testing.T, d *Dir) {
	inSpool(t, d)
	drop(t, d, "failed/a.json", "old")
}

var threeFailed = files{"failed/a": "1", "failed/a.json": "why", "failed/b": "2", "failed/b.json": "why",
	"failed/c": "3", "failed/c.json": "why"}

func threeInSpool(t *testing.T, d *Dir) {
	drop(t, d, "a", "1")
	drop(t, d, "b", "2")
	drop(t, d, "c", "3")
}

func withStatus(t *testing.T, d *Dir) { drop(t, d, ".spoolgore.js", "old") }

func runPut(d *Dir, after func(step string)) error {
	_, err := d.Put(func(w io.Writer) error {
		after("create")
		if _, err := io.WriteString(w, half); err != nil {
			return err
		}
		after("write half")
		_, err := io.WriteString(w, whole[len(half):])
		return err
	})
	return err
}

// replaceA replaces the file a with another file.
func replaceA(d *Dir) error {
	return errors.Join(os.WriteFile(d.File(".new"), []byte("another"), 0o600), os.Rename(d.File(".new"), d.File("a")))
}

func runRemove(d *Dir, _ func(step string)) error {
	id, err := d.Stat("a")
	if err != nil {
		return err
	}
	return d.Remove("a", id)
}

// runRemoveAnother replaces the file just before it is moved to tmp/.
func runRemoveAnother(d *Dir, after func(step string)) error {
	id, err := d.Stat("a")
	if err != nil {
		return err
	}
	link, move := opsOf(d).link, opsOf(d).move
	replaced := false
	replace := func() error {
		if replaced {
			return nil
		}
		replaced = true
		return replaceA(d)
	}
	opsOf(d).link = func(from, to string) error { return errors.Join(replace(), link(from, to)) }
	opsOf(d).move = func(from, to string) error { return errors.Join(replace(), move(from, to)) }
	if err := d.Remove("a", id); !errors.Is(err, ErrChanged) {
		return errors.New("removed a file that was not delivered")
	}
	return nil
}

// reportedWhy is a why-file for which a report can be made.
const reportedWhy = `{"From":"f@x.org","To":[{"Address":"a@x.org","GivenUp":true}]}`

// giveUp moves messages to failed/ and returns the errors of the items.
func giveUp(d *Dir, own, owed bool, names ...string) error {
	items := make([]*Failing, len(names))
	for i, name := range names {
		id, err := d.Stat(name)
		items[i] = &Failing{Name: name, ID: id, Why: []byte("why"), Own: own, Owed: owed, Err: err}
		if owed {
			items[i].Why = []byte(reportedWhy)
		}
	}
	d.Failed().Fail(items)
	var errs []error
	for _, item := range items {
		errs = append(errs, item.Err)
	}
	return errors.Join(errs...)
}

func runFail(d *Dir, _ func(step string)) error {
	if err := giveUp(d, false, false, "a"); err != nil {
		return err
	}
	return d.SyncPlaces()
}

func runFailOwn(d *Dir, _ func(step string)) error { return giveUp(d, true, false, "a") }

func runFailMany(d *Dir, _ func(step string)) error { return giveUp(d, false, false, "a", "b", "c") }

// runFailAnother replaces the message just before it is moved.
func runFailAnother(d *Dir, after func(step string)) error {
	move := opsOf(d).move
	replaced := false
	opsOf(d).move = func(from, to string) error {
		if !replaced {
			replaced = true
			if err := replaceA(d); err != nil {
				return err
			}
		}
		return move(from, to)
	}
	if err := giveUp(d, false, false, "a"); !errors.Is(err, ErrChanged) {
		return errors.New("gave up another version")
	}
	return nil
}

// failAgain gives up the message once more, as a daemon with its record does.
func failAgain(d *Dir) error { return giveUpAgain(d, false) }

func giveUpAgain(d *Dir, owed bool) error {
	if _, err := d.Stat("a"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := d.Failed().ReturnedWhy("a")
	return giveUp(d, err == nil, owed, "a")
}

// Tell makes all pending reports, as internal/notify does.
var Tell func(d *Dir) error

func runReport(d *Dir, _ func(step string)) error {
	if err := giveUp(d, false, true, "a"); err != nil {
		return err
	}
	return Tell(d)
}

func reportAgain(d *Dir) error {
	if err := giveUpAgain(d, true); err != nil {
		return err
	}
	return Tell(d)
}

func runReports(d *Dir, _ func(step string)) error {
	n := 0
	d.newName = func() string { n++; return strconv.Itoa(n) }
	items := []*Putting{{Write: writing("x")}, {Write: writing("x")}, {Write: writing("x")}}
	d.PutAll(items)
	return errors.Join(items[0].Err, items[1].Err, items[2].Err)
}

func runMoveBack(d *Dir, after func(step string)) error {
	if err := os.Rename(d.File("failed/a"), d.File("a")); err != nil {
		return err
	}
	after("mv")
	if err := runRemove(d, after); err != nil {
		return err
	}
	return d.Failed().RemoveWhy("a")
}

func runStatus(d *Dir, _ func(step string)) error {
	return WriteFileOn(d.fs, d.File(".spoolgore.js"), 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "new!")
		return err
	})
}
