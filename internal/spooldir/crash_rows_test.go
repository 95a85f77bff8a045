package spooldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
)

// operations are the tables of docs/durability.md, in its words.
func operations() []operation {
	put := []string{"create", "write half", "write", "sync file in tmp"}
	fail := []string{"write half", "replace in failed", "sync failed", "link to failed", "sync failed"}
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
		{section: "Giving up", name: "Fail", prepare: inSpool, run: runFail, again: failAgain, ends: []files{failedFiles}, rows: []crashRow{
			{"half of `failed/.NAME.jsonN` is written", fail[0], files{"a": "whole", "failed/.a.json*": "w"}, files{"a": "whole"}},
			{"it is synced and renamed to `failed/NAME.json`, the why-file", fail[1], files{"a": "whole", "failed/a.json": "why"}, nil},
			{"`failed/` is synced", fail[2], files{"a": "whole", "failed/a.json": "why"}, nil},
			{"the message is linked to `failed/NAME`", fail[3],
				files{"a": "whole", "failed/a": "whole", "failed/a.json": "why"}, failedFiles},
			{"`failed/` is synced again", fail[4],
				files{"a": "whole", "failed/a": "whole", "failed/a.json": "why"}, failedFiles},
			{"renamed from the spool to `tmp/.sent-...-NAME`", "move to tmp",
				files{"tmp/.sent-*-a": "whole", "failed/a": "whole", "failed/a.json": "why"}, failedFiles},
			{"removed there", "remove in tmp", failedFiles, nil},
			{"the spool directory is synced", "sync spool", failedFiles, nil},
		}},
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
			since: [][]string{nil, append(fail, "move to tmp", "remove in tmp"), {"write", "sync file in tmp", "move to spool"}},
			rows: []crashRow{
				{"`failed/.untold-NAME` is made, before the why-file", "make in failed", files{"a": "whole", "failed/.untold-a": ""}, nil},
				{"the message is given up, [as above](#giving-up)", "sync spool",
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
		{section: "A rename in two steps", name: "Fail by link", byLink: true, prepare: inSpool, run: runFail, since: [][]string{fail},
			again: failAgain, ends: []files{failedFiles}, rows: []crashRow{
				{"giving up: linked in `tmp/`", "link to tmp",
					files{"a": "whole", "tmp/.sent-*-a": "whole", "failed/a": "whole", "failed/a.json": "why"}, failedFiles},
				{"giving up: removed in the spool", "remove in spool",
					files{"tmp/.sent-*-a": "whole", "failed/a": "whole", "failed/a.json": "why"}, failedFiles},
				{"giving up: removed in `tmp/`", "remove in tmp", failedFiles, nil},
				{"giving up: the spool directory is synced", "sync spool", failedFiles, nil},
			}},
	}
}

var failedFiles = files{"failed/a": "whole", "failed/a.json": "why"}

func inSpool(t *testing.T, d *Dir) { drop(t, d, "a", whole) }

func inFailed(t *testing.T, d *Dir) {
	drop(t, d, "failed/a", whole)
	drop(t, d, "failed/a.json", "why")
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

func runRemove(d *Dir, _ func(step string)) error {
	id, err := d.Stat("a")
	if err != nil {
		return err
	}
	return d.Remove("a", id)
}

// runRemoveAnother replaces the file at the last moment before it is set aside.
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
		return errors.Join(os.WriteFile(d.File(".new"), []byte("another"), 0o600), os.Rename(d.File(".new"), d.File("a")))
	}
	opsOf(d).link = func(from, to string) error { return errors.Join(replace(), link(from, to)) }
	opsOf(d).move = func(from, to string) error { return errors.Join(replace(), move(from, to)) }
	if err := d.Remove("a", id); !errors.Is(err, ErrChanged) {
		return errors.New("removed a file that was not delivered")
	}
	return nil
}

func runFail(d *Dir, _ func(step string)) error {
	id, err := d.Stat("a")
	if err != nil {
		return err
	}
	_, err = d.Fail("a", id, []byte("why"), false)
	return err
}

// failAgain is what the daemon does with a message that it remembers to be given up.
func failAgain(d *Dir) error { return giveUpAgain(d, d.Fail) }

func giveUpAgain(d *Dir, fail func(name string, id ID, why []byte, own bool) (string, error)) error {
	id, err := d.Stat("a")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, noWhy := d.Why("a")
	_, err = fail("a", id, []byte("why"), noWhy == nil)
	return err
}

// Tell puts reports into the spool on all that is untold, as internal/notify does it.
var Tell func(d *Dir) error

func runReport(d *Dir, _ func(step string)) error {
	id, err := d.Stat("a")
	if err != nil {
		return err
	}
	if _, err := d.FailUntold("a", id, []byte("why"), false); err != nil {
		return err
	}
	return Tell(d)
}

func reportAgain(d *Dir) error {
	if err := giveUpAgain(d, d.FailUntold); err != nil {
		return err
	}
	return Tell(d)
}

func runMoveBack(d *Dir, after func(step string)) error {
	if err := os.Rename(d.File("failed/a"), d.File("a")); err != nil {
		return err
	}
	after("mv")
	if err := runRemove(d, after); err != nil {
		return err
	}
	return d.RemoveWhy("a")
}

func runStatus(d *Dir, _ func(step string)) error {
	return WriteFileOn(d.fs, d.File(".spoolgore.js"), 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "new!")
		return err
	})
}
