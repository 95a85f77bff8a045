package mailq

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"slices"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// maxSorted is the number of messages without a record up to which Each sorts them by name. A spool may have a million,
// and the first one is wanted at once.
const maxSorted = 10_000

// Each calls each for every message in the places: first the messages of the spool and hold/ in the status file, in its
// order, then the other ones there, and at last failed/. More than maxSorted messages of the second and the third kind
// are in the order of the directory. Each keeps no message and no name in memory, but some bytes for each name. A
// message without a record has no sender and no recipients, see ReadHeader. An error of each ends the iteration and is
// returned. Another error means that the spool cannot be read.
func (v *View) Each(places []spooldir.Place, each func(*Entry) error) error {
	w := walk{View: v, places: places, each: each, seen: newSeen()}
	waiting := slices.DeleteFunc([]spooldir.Place{spooldir.Spool, spooldir.Hold}, func(p spooldir.Place) bool {
		return !slices.Contains(places, p)
	})
	if len(waiting) > 0 {
		for _, place := range waiting { // no message is shown of a spool that cannot be listed
			if err := endOf(v.names(place, func(string) error { return errEnough })); err != nil {
				return err
			}
		}
		if err := v.records(w.record); err != nil {
			return err
		}
		if err := w.rest(v.unread, waiting...); err != nil {
			return err
		}
	}
	if slices.Contains(places, spooldir.Failed) {
		return w.rest(v.given, spooldir.Failed)
	}
	return nil
}

// named is a file in a place.
type named struct {
	name  string
	place spooldir.Place
}

func (a named) compare(b named) int {
	switch {
	case a.name < b.name, a.name == b.name && a.place < b.place:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// A walk is one call of Each.
type walk struct {
	*View
	places []spooldir.Place
	each   func(*Entry) error
	seen   seen
}

// record calls each for the file of the record m, if the file is in one of the places.
func (w *walk) record(key string, m *record.Message) error {
	name := record.FileName(key, m)
	if !spooldir.Usable(name) {
		return nil
	}
	for _, place := range placesOf(w.Dir, key, m) {
		n := named{name, place}
		if !slices.Contains(w.places, place) || w.Dir.At(place, name) == w.status || w.seen.has(n) {
			continue
		}
		fi, err := w.stat(n)
		if err != nil {
			return err
		}
		if fi != nil && !fi.IsDir() && !isOther(m, fi) {
			w.seen.add(n)
			return w.each(w.concluded(w.known(n, fi, m)))
		}
	}
	return nil
}

// rest calls each for the files in places that had no record, in the order of their names as long as they are few. Of
// returns the entry of a file.
func (w *walk) rest(of func(named, fs.FileInfo) *Entry, places ...spooldir.Place) error {
	var few []named
	sorted := true
	flush := func() error {
		slices.SortFunc(few, named.compare)
		for _, n := range few {
			if err := w.file(n, of); err != nil {
				return err
			}
		}
		few = nil
		return nil
	}
	for _, place := range places {
		err := w.names(place, func(name string) error {
			n := named{name, place}
			switch {
			case w.seen.has(n):
				return nil
			case !sorted:
				return w.file(n, of)
			}
			if few = append(few, n); len(few) <= maxSorted {
				return nil
			}
			sorted = false
			return flush()
		})
		if err != nil {
			return err
		}
	}
	return flush()
}

// file calls each for a file without a record, if it is still there. A message that was moved between the spool and
// hold/ meanwhile has been shown.
func (w *walk) file(n named, of func(named, fs.FileInfo) *Entry) error {
	for _, place := range []spooldir.Place{spooldir.Spool, spooldir.Hold} {
		other := named{n.name, place}
		if n.place == spooldir.Failed || place == n.place || !w.seen.has(other) {
			continue
		}
		if fi, err := w.stat(other); err != nil || fi == nil {
			return err
		}
	}
	fi, err := w.stat(n)
	if err != nil || fi == nil {
		return err
	}
	return w.each(w.concluded(of(n, fi)))
}

// stat returns what the file system says of a file; nil: there is no such file.
func (v *View) stat(n named) (fs.FileInfo, error) {
	fi, err := v.Dir.FS().Lstat(v.Dir.At(n.place, n.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return fi, err
}

// concluded sets the fields of e that follow from the others, and returns e. A nil e stays nil.
func (v *View) concluded(e *Entry) *Entry {
	if e == nil {
		return nil
	}
	if len(e.To)+len(e.Cc)+len(e.Bcc) == 0 {
		e.temporary = spooldir.IsTemporary(e.Name, v.Temporary) &&
			v.now.Sub(e.Info.ModTime()) < spooldir.TemporaryTime
	}
	e.conclude(v.now)
	return e
}

// names calls each for every name of a message in a place, in the order of the directory, until each returns an error.
// There are none if the place is not there.
func (v *View) names(place spooldir.Place, each func(name string) error) error {
	var stop error
	err := spooldir.EachName(v.Dir, place, func(names []string) error {
		for _, name := range names {
			if place == spooldir.Failed && spooldir.IsWhyFile(name) || v.Dir.At(place, name) == v.status {
				continue
			}
			if stop = each(name); stop != nil {
				return stop
			}
		}
		return nil
	})
	if stop != nil || place != spooldir.Spool && errors.Is(err, fs.ErrNotExist) {
		return stop
	}
	return err
}

// seen is a set of files, of which it keeps hashes of 64 bits: of a million files two have the same hash once in 30
// million calls of Each.
type seen struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

func newSeen() seen { return seen{maphash.MakeSeed(), make(map[uint64]struct{})} }

func (s *seen) hash(n named) uint64 { return maphash.Comparable(s.seed, n) }

func (s *seen) add(n named) { s.hashes[s.hash(n)] = struct{}{} }

func (s *seen) has(n named) bool {
	_, ok := s.hashes[s.hash(n)]
	return ok
}
