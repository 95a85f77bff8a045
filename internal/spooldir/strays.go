package spooldir

import (
	"errors"
	"io/fs"
)

// Strays returns the messages whose why-file is in failed/ without the message. A person may have moved such a message
// out of failed/ under another name. Count is the number of names in failed/. If failed/ has not changed since last was
// taken, isNew is false and there are no names; see Changed.
func (d FailedDir) Strays(last Snapshot) (now Snapshot, isNew bool, names []string, count int, err error) {
	if now, isNew, err = changed(d.dir, Failed, last); err != nil || !isNew {
		return now, isNew, nil, 0, err
	}
	all, err := d.dir.Names(Failed)
	if err != nil {
		return Snapshot{}, true, nil, 0, err
	}
	present := make(map[string]bool, len(all))
	for _, name := range all {
		present[name] = true
	}
	for _, name := range all {
		if !IsWhyFile(name) || present[name[:len(name)-len(whySuffix)]] {
			continue
		}
		names = append(names, name[:len(name)-len(whySuffix)])
	}
	return now, true, names, len(all), nil
}

// StrayWhy returns the why-file of the message name, which Strays has returned. Errors: fs.ErrNotExist also if the
// message is back under its own name.
func (d FailedDir) StrayWhy(name string) ([]byte, error) {
	for _, place := range []Place{Failed, Spool, Hold} {
		switch there, err := exists(d.dir.fs, d.dir.At(place, name)); {
		case err != nil:
			return nil, err
		case there:
			return nil, &fs.PathError{Op: "read why", Path: d.why(name), Err: fs.ErrNotExist}
		}
	}
	return d.Why(name)
}

// Claim gives the why-file of the message old to the message name in the spool, which is the same message. It reports
// false, and changes nothing, if failed/ has another message or why-file of that name.
func (d FailedDir) Claim(old, name string) (bool, error) {
	if err := errors.Join(check("claim why", old), check("claim why", name)); err != nil {
		return false, err
	}
	if taken, err := exists(d.dir.fs, d.file(name)); taken || err != nil || len(name) > keptName || IsWhyFile(name) {
		return false, err
	}
	err := move(d.dir.fs, d.why(old), d.why(name))
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}
