package spooldir

import (
	"fmt"
	"time"

	"github.com/unbit/spoolgore/internal/fsys"
)

// A Snapshot remembers what the spool directory looked like when Changed was called. The zero value differs from
// every directory.
type Snapshot struct {
	fsys.Stamp
	taken time.Time
}

// coarse is the longest tick of a file system's clock (FAT: two seconds). Two changes within one tick leave the same
// time.
const coarse = 2 * time.Second

// Changed reports whether names may have been added to the spool or removed since last was taken, and returns the
// Snapshot to compare with next time: take it first, then read Names. It costs one stat(2). It goes on saying true
// for two seconds after a change, within which another one could hide behind a coarse clock, so false can be relied on;
// only on a file server whose clock is both coarse and behind ours a second change may go unseen until the next. What
// happens inside a file does not count. After an error the Snapshot is the zero one.
func (d *Dir) Changed(last Snapshot) (Snapshot, bool, error) {
	now := time.Now() // before the stat: what happens after it must look later
	st, err := d.fs.Stamp(d.path)
	if err != nil {
		return Snapshot{}, true, fmt.Errorf("look at spool: %w", err)
	}
	current := Snapshot{Stamp: st, taken: now}
	return current, !last.covers(st), nil
}

// covers reports whether a directory that now shows st must be the one that s saw.
func (s Snapshot) covers(st fsys.Stamp) bool {
	return s.Dev == st.Dev && s.Ino == st.Ino && s.MTime.Equal(st.MTime) && s.CTime.Equal(st.CTime) &&
		s.taken.Sub(st.MTime) >= coarse && s.taken.Sub(st.CTime) >= coarse
}
