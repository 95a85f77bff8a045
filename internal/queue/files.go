package queue

import (
	"iter"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// files knows which entry is about which file.
type files struct {
	entries map[string]*entry         // by file name
	memory  map[string]record.Compact // by file name: messages whose file has not been seen
	index   index                     // entries with a version, by version
	absent  absent                    // entries whose file is not in the spool directory
	shots   []*shot                   // snapshots under way
	stream  *Stream                   // under way; nil: none
	streams uint8                     // number of the last stream
	load    *Load                     // under way; nil: none
	edition *edition                  // a Reload that collects its messages; nil: none
	missed  time.Time                 // when a notice of a file may have been missed last; zero: never

	// stranger is when a file that was not read yet was last found in hold/, until hold/ was listed: it may be a
	// missing message that was edited.
	stranger time.Time
}

func newFiles() files {
	return files{
		entries: make(map[string]*entry), memory: make(map[string]record.Compact), absent: newAbsent(),
	}
}

// Len returns the number of files that are messages or are still to be read.
func (f *files) Len() int { return len(f.entries) }

// Known returns the number of messages that are known, also of those whose file was not seen yet.
func (f *files) Known() int { return len(f.entries) + len(f.memory) }

// Remembered returns the record of a message whose file was not seen yet or, at the end of a Load, of any message.
func (f *files) Remembered(name string) (m *record.Message, ok bool) {
	known, ok := f.memory[name]
	if e := f.entries[name]; !ok && e != nil && e.msg.Holds() {
		known, ok = e.msg, true
	}
	return known.Message(), ok
}

// Searching reports whether a file is missing that was not looked for everywhere: the next scan is to list the spool
// directory and hold/.
func (f *files) Searching() bool {
	if !f.stranger.IsZero() && len(f.absent.all) > 0 {
		return true
	}
	for e := range f.absent.all {
		if e.state == held || !e.has(searched) {
			return true
		}
	}
	return false
}

// Misses reports whether files of messages are not in the spool directory.
func (f *files) Misses() bool { return len(f.absent.all) > 0 }

// all yields every entry once.
func (f *files) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range f.entries {
			if !yield(e) {
				return
			}
		}
		for e := range f.absent.all {
			if f.entries[e.name] != e && !yield(e) {
				return
			}
		}
	}
}

// setVersion sets the version of the file of e.
func (f *files) setVersion(e *entry, v Version) {
	if e.id == v {
		return
	}
	if e.id != (Version{}) {
		f.index.remove(e)
	}
	if e.id = v; v != (Version{}) {
		f.index.add(e)
	}
}

// verified notes that the record of e, which the last run has left, was compared with the file.
func (f *files) verified(e *entry) {
	if !e.has(recalled) {
		return
	}
	e.set(recalled, false)
	f.absent.recalled--
	f.allVerified()
}

// allVerified frees memory if the records of all messages of the last run were compared with their files.
func (f *files) allVerified() {
	if f.absent.recalled == 0 && len(f.memory) == 0 && f.load == nil {
		f.absent.noted, f.absent.unverified, f.absent.others = nil, nil, nil
	}
}
