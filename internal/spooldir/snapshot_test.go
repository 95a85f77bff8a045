package spooldir

import (
	"os"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

func TestCovers(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	dir := fsys.Stamp{Dev: 1, Ino: 2, MTime: at, CTime: at}
	stamp := func(dev, ino uint64, m, c time.Time) fsys.Stamp {
		return fsys.Stamp{Dev: dev, Ino: ino, MTime: m, CTime: c}
	}
	seen := func(later time.Duration) Snapshot { return Snapshot{Stamp: dir, taken: at.Add(later)} }
	for _, row := range []struct {
		name string
		last Snapshot
		now  fsys.Stamp
		want bool
	}{
		{"never seen", Snapshot{}, dir, false},
		{"never seen, no times", Snapshot{}, fsys.Stamp{}, false},
		{"seen at once", seen(0), dir, false},
		{"seen almost late enough", seen(coarse - 1), dir, false},
		{"seen late enough", seen(coarse), dir, true},
		{"seen by a clock that is behind", seen(-time.Hour), dir, false},
		{"changed", seen(time.Hour), stamp(1, 2, at.Add(1), at), false},
		{"changed, time set back", seen(time.Hour), stamp(1, 2, at, at.Add(1)), false},
		{"another directory", seen(time.Hour), stamp(1, 3, at, at), false},
		{"another device", seen(time.Hour), stamp(2, 2, at, at), false},
		{"attributes changed a moment ago", Snapshot{stamp(1, 2, at, at.Add(time.Hour)), at.Add(time.Hour)},
			stamp(1, 2, at, at.Add(time.Hour)), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(row.last.covers(row.now), row.want)
		})
	}
}

func TestChanged(t *testing.T) {
	is := is.New(t)
	d := newSpool(t)
	last, changed, err := d.Changed(Snapshot{})
	is.NoErr(err)
	is.True(changed) // there is no earlier snapshot
	_, changed, err = d.Changed(last)
	is.NoErr(err)
	is.True(changed) // the snapshot was taken too soon after a change: another change may have the same time

	for _, step := range []struct {
		name    string
		act     func()
		changed bool
	}{
		{"nothing", func() {}, false},
		{"added", func() { drop(t, d, "a", "x") }, true},
		{"written to", func() { drop(t, d, "a", "xy") }, false},
		{"renamed", func() { os.Rename(d.File("a"), d.File("b")) }, true},
		{"removed", func() { os.Remove(d.File("b")) }, true},
		{"added in a subdirectory", func() { drop(t, d, "tmp/a", "x") }, false},
		{"added, time set back", func() { drop(t, d, "c", "x"); age(t, d.Path(), time.Hour) }, true},
	} {
		age(t, d.Path(), 2*time.Hour) // two changes within one tick of the file system's clock have the same time
		last, _, err = d.Changed(Snapshot{})
		is.NoErr(err)
		last.taken = last.taken.Add(time.Minute) // as if the snapshot had been taken long after the change
		step.act()
		_, changed, err := d.Changed(last)
		is.NoErr(err)
		if changed != step.changed {
			t.Errorf("%s: changed is %v", step.name, changed)
		}
	}

	is.NoErr(os.RemoveAll(d.Path()))
	last, changed, err = d.Changed(last)
	is.True(err != nil) // the directory is missing
	is.True(changed)
	is.Equal(last, Snapshot{})
}
