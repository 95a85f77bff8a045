package spooldir

import (
	"fmt"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// A Snapshot is the state of the spool directory at a call of Changed. The zero value differs from every state.
type Snapshot struct {
	fsys.Stamp
	taken time.Time
}

// coarse is the longest tick of a file system's clock (FAT: two seconds). Two changes within one tick leave the same
// time.
const coarse = 2 * time.Second

// Changed reports whether names may have been added to the spool or removed since last was taken, and returns the
// Snapshot for the next call: take the Snapshot first, then read Names. Changed costs one stat(2). It returns true
// for two seconds after a change, since a coarse clock may hide a second change in that time. So false is reliable,
// except on a file server whose clock is both coarse and slow. A write into a file is no change. After an error the
// Snapshot is the zero value.
func (d *Dir) Changed(last Snapshot) (Snapshot, bool, error) { return changed(d, Spool, last) }

// changed is Changed for the directory place.
func changed(d *Dir, place Place, last Snapshot) (Snapshot, bool, error) {
	now := time.Now() // before the stat: what happens after it must look later
	st, err := d.fs.Stamp(d.File(string(place)))
	if err != nil {
		return Snapshot{}, true, fmt.Errorf("look at spool: %w", err)
	}
	current := Snapshot{Stamp: st, taken: now}
	return current, !last.covers(st), nil
}

// covers reports whether a directory with the stamp st must be unchanged since s.
func (s Snapshot) covers(st fsys.Stamp) bool {
	return s.Dev == st.Dev && s.Ino == st.Ino && s.MTime.Equal(st.MTime) && s.CTime.Equal(st.CTime) &&
		s.taken.Sub(st.MTime) >= coarse && s.taken.Sub(st.CTime) >= coarse
}
