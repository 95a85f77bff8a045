//go:build linux

package fsystest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Orders of unsynced operations that a power cut may leave.
const (
	Ordered      = "ordered"       // all metadata in order; any sync makes all before it durable (ext4)
	PerDirectory = "per directory" // the operations of each directory in order, each directory for itself
	AnySubset    = "any subset"    // any subset of the unsynced operations on directories
)

// A State is a possible state of the files after a power cut.
type State struct {
	Cut   int    // number of operations that were made before the cut
	Order string // one of the orders above
	Lost  []int  // indexes of lost operations on directories
	Files []StateFile
	dirs  []string
}

// StateFile is a file with all of its names.
type StateFile struct {
	Ino   uint64
	Names []string
	Data  []byte
	Time  time.Time
	Torn  string // state of the unsynced data; empty: all data was synced
}

// String describes s for people.
func (s *State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cut after %d operations, %s, lost %v\n", s.Cut, s.Order, s.Lost)
	for _, f := range s.Files {
		names, at := strings.Join(f.Names, " = "), f.Time.Format("15:04:05.000000")
		fmt.Fprintf(&b, "  (%d) %s: %d bytes, %s %s\n", f.Ino, names, len(f.Data), at, f.Torn)
	}
	return b.String()
}

// named reports whether o changes names.
func (o Op) named() bool {
	switch o.Kind {
	case Create, Rename, Link, Remove, Mkdir:
		return true
	}
	return false
}

// dirs returns the directories in which o changes names.
func (o Op) dirs() []string {
	switch o.Kind {
	case Rename:
		if a, b := filepath.Dir(o.Path), filepath.Dir(o.To); a != b {
			return []string{a, b}
		}
		return []string{filepath.Dir(o.To)}
	case Link:
		return []string{filepath.Dir(o.To)}
	}
	return []string{filepath.Dir(o.Path)}
}

// Cut returns a possible state after a power cut that follows the first cut operations. rnd chooses the state.
func Cut(ops []Op, cut int, order string, rnd *rand.Rand) *State {
	s := &State{Cut: cut, Order: order}
	made := ops[:cut]
	kept := keep(made, order, rnd)
	names := make(map[string]uint64)
	for i, o := range made {
		switch {
		case !o.named():
		case o.Kind == Mkdir:
			s.dirs = append(s.dirs, o.Path)
		case kept[i]:
			o.Apply(names)
		default:
			s.Lost = append(s.Lost, i)
		}
	}
	files := make(map[uint64]*StateFile)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		ino := names[name]
		if files[ino] == nil {
			f := content(made, ino, rnd)
			files[ino] = &f
		}
		files[ino].Names = append(files[ino].Names, name)
	}
	for _, ino := range slices.Sorted(maps.Keys(files)) {
		s.Files = append(s.Files, *files[ino])
	}
	return s
}

// Apply applies o to names, a map of paths to inode numbers. Each name changes separately, because earlier operations
// may be missing.
func (o Op) Apply(names map[string]uint64) {
	switch o.Kind {
	case Create:
		names[o.Path] = o.Ino
	case Rename:
		if names[o.Path] == o.Ino {
			delete(names, o.Path)
		}
		names[o.To] = o.Ino
	case Link:
		names[o.To] = o.Ino
	case Remove:
		if names[o.Path] == o.Ino {
			delete(names, o.Path)
		}
	}
}

// keep chooses the durable operations on directories.
func keep(ops []Op, order string, rnd *rand.Rand) []bool {
	switch order {
	case Ordered:
		return keepOrdered(ops, rnd)
	case PerDirectory:
		return keepPerDirectory(ops, rnd)
	}
	kept := synced(ops)
	for i := range ops {
		kept[i] = kept[i] || rnd.IntN(2) == 0
	}
	keepSources(ops, kept)
	return kept
}

func keepOrdered(ops []Op, rnd *rand.Rand) []bool {
	kept, point := make([]bool, len(ops)), 0
	for i, o := range ops {
		if o.Kind == Sync || o.Kind == SyncDir || o.Kind == SyncAll {
			point = i + 1
		}
	}
	point += rnd.IntN(len(ops) - point + 1)
	for i := range point {
		kept[i] = true
	}
	return kept
}

// closeSynced adds the operations before a forced operation in the same directory to forced.
func closeSynced(ops []Op, forced []bool) {
	for again := true; again; {
		again = false
		last := make(map[string]bool)
		for i := len(ops) - 1; i >= 0; i-- {
			if !ops[i].named() {
				continue
			}
			dirs := ops[i].dirs()
			if !forced[i] && slices.ContainsFunc(dirs, func(d string) bool { return last[d] }) {
				forced[i], again = true, true
			}
			for _, d := range dirs {
				last[d] = last[d] || forced[i]
			}
		}
	}
}

func keepPerDirectory(ops []Op, rnd *rand.Rand) []bool {
	kept, forced := make([]bool, len(ops)), synced(ops)
	closeSynced(ops, forced)
	points, ended := make(map[string]int), make(map[string]bool)
	for i, o := range ops {
		if !o.named() {
			continue
		}
		kept[i] = true
		for _, d := range o.dirs() {
			if _, ok := points[d]; !ok {
				points[d] = rnd.IntN(len(ops) + 1)
				if rnd.IntN(3) == 0 {
					points[d] = len(ops)
				}
			}
			kept[i] = kept[i] && i < points[d] && !ended[d]
		}
		kept[i] = kept[i] || forced[i]
		for _, d := range o.dirs() {
			ended[d] = ended[d] || !kept[i]
		}
	}
	return kept
}

// keepSources keeps the operation that created the source of each kept rename and link.
func keepSources(ops []Op, kept []bool) {
	for i := len(ops) - 1; i >= 0; i-- {
		o := ops[i]
		if !kept[i] || o.Kind != Rename && o.Kind != Link {
			continue
		}
		for j := i - 1; j >= 0; j-- {
			made := ops[j].Kind == Create && ops[j].Path == o.Path || ops[j].named() && ops[j].To == o.Path
			if made && ops[j].Ino == o.Ino {
				kept[j] = true
				break
			}
		}
	}
}

// synced returns the synced operations: by a sync of one of their directories, or of the whole file system.
func synced(ops []Op) []bool {
	forced, dirs, all := make([]bool, len(ops)), make(map[string]bool), false
	for i := len(ops) - 1; i >= 0; i-- {
		if ops[i].Kind == SyncDir {
			dirs[ops[i].Path] = true
		}
		all = all || ops[i].Kind == SyncAll
		inSynced := slices.ContainsFunc(ops[i].dirs(), func(d string) bool { return dirs[d] })
		forced[i] = ops[i].named() && (all || inSynced)
	}
	return forced
}

// content chooses the remaining data of a file.
func content(ops []Op, ino uint64, rnd *rand.Rand) StateFile {
	f := StateFile{Ino: ino}
	var durable []byte
	var changes []Op
	var at time.Time
	current := []byte(nil)
	for _, o := range ops {
		if o.Kind == SyncAll {
			durable, at, changes = bytes.Clone(current), f.Time, nil
		}
		if o.Ino != ino {
			continue
		}
		switch o.Kind {
		case Create, Times:
			f.Time = o.Time
			if at.IsZero() || o.Kind == Times {
				at = o.Time
			}
		case Write, Truncate:
			current, f.Time = o.change(current), o.Time
			changes = append(changes, o)
		case Sync:
			durable, at, changes = bytes.Clone(current), f.Time, nil
		}
	}
	if len(changes) == 0 {
		f.Data = current
		return f
	}
	switch rnd.IntN(3) {
	case 0:
		f.Torn, f.Data, f.Time = "unsynced data lost", durable, at
	case 1:
		f.Torn, f.Data = "unsynced data there", current
	default:
		f.tear(durable, changes, rnd)
	}
	return f
}

// tear keeps the changes before a random change, and a part of that change.
func (f *StateFile) tear(durable []byte, changes []Op, rnd *rand.Rand) {
	n := rnd.IntN(len(changes))
	for _, o := range changes[:n] {
		durable = o.change(durable)
	}
	o := changes[n]
	f.Torn = fmt.Sprintf("torn in change %d of %d", n+1, len(changes))
	part := len(o.Data) * rnd.IntN(4) / 4
	if rnd.IntN(2) == 0 {
		zeros := o
		zeros.Data = make([]byte, len(o.Data))
		durable = zeros.change(durable)
		f.Torn += ", zeros"
	}
	o.Data = o.Data[:part]
	f.Data = o.change(durable)
}

// change returns data after a write or a truncate.
func (o Op) change(data []byte) []byte {
	end := o.Off + int64(len(o.Data))
	if o.Kind == Truncate {
		if end < int64(len(data)) {
			return bytes.Clone(data[:end])
		}
	}
	out := make([]byte, max(end, int64(len(data))))
	copy(out, data)
	copy(out[o.Off:], o.Data)
	return out
}

// Make creates the files of s in the empty directory root. It returns a Disk with the old inode numbers.
func (s *State) Make(root string) (*Disk, error) {
	d := New(root)
	d.next = 1_000_000
	for _, dir := range s.dirs {
		if err := os.MkdirAll(d.Path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	for _, f := range s.Files {
		first := d.Path(f.Names[0])
		if err := os.WriteFile(first, f.Data, 0o600); err != nil {
			return nil, err
		}
		if err := os.Chtimes(first, f.Time, f.Time); err != nil {
			return nil, err
		}
		for _, name := range f.Names[1:] {
			if err := os.Link(first, d.Path(name)); err != nil {
				return nil, err
			}
		}
		fi, err := os.Lstat(first)
		if err != nil {
			return nil, err
		}
		d.numbers[inoOf(fi)] = f.Ino
	}
	return d, nil
}
