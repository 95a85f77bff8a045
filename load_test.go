package spoolgore

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/record"
)

// fillers is the number of entries between the messages of a long status file: 5 MB.
const fillers = 6000

// textOf returns a message with a Message-ID of its own to a@x.org and b@x.org.
func textOf(id string) string { return strings.Replace(named, "<1@x>", "<"+id+"@x>", 1) }

// deferredB runs a spool until each message is accepted for a@x.org and deferred for b@x.org.
func deferredB(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		drop(t, dir, name, textOf(name))
	}
	_, stop := start(t, dir, Options{Transport: &ledger{answer: deferB}})
	pass(10 * time.Second)
	stop()
	pass(time.Hour) // b@x.org is due
}

// lengthen adds entries to the status file, in the order of the names: messages whose files are gone, and which are due
// in a day. It passes each record of a message to edit, unless edit is nil.
func lengthen(t *testing.T, dir string, edit func(name string, m *record.Message)) {
	t.Helper()
	path := filepath.Join(dir, ".spoolgore.js")
	type entry struct {
		key string
		m   *record.Message
	}
	var all []entry
	f, err := os.Open(path)
	check(t, err)
	check(t, record.DecodeStatus(f, func(key string, m *record.Message) error {
		if edit != nil {
			edit(filepath.Base(key), m)
		}
		all = append(all, entry{key, m})
		return nil
	}))
	check(t, f.Close())
	now := time.Now()
	for i := range fillers {
		name := fmt.Sprintf("k%06d", i)
		a := record.Attempt{Time: now, Relay: "relay.example.org:587", Error: strings.Repeat("451 try again ", 10)}
		all = append(all, entry{filepath.Join(dir, name), &record.Message{
			From: "s@x.org", Attempts: 1, Enqueued: now, Size: 300, Modified: now, Inode: uint64(1<<40 + i),
			MessageID: "<" + name + "@x>", To: []record.Recipient{{
				Address: "c@x.org", Attempts: 1, NextAttempt: now.Add(24 * time.Hour), Error: a.Error, Relay: a.Relay,
				LastAttempt: now, History: &record.History{First: a, Last: a},
			}},
		}})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	f, err = os.Create(path)
	check(t, err)
	out := bufio.NewWriter(f)
	enc := record.NewStatusEncoder(out, len(all))
	for _, e := range all {
		check(t, enc.Add(e.key, e.m))
	}
	check(t, enc.Close())
	check(t, out.Flush())
	check(t, f.Close())
}

// entries returns the number of entries in the status file.
func entries(t *testing.T, dir string) (n int) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, ".spoolgore.js"))
	check(t, err)
	defer f.Close()
	check(t, record.DecodeStatus(f, func(string, *record.Message) error {
		n++
		return nil
	}))
	return n
}

// slowRead stops the reading of the status file in dir after 1 MiB, until release is called.
func slowRead(dir string) (fail func(op, path string) error, release func()) {
	var mu sync.Mutex
	var reads int
	released := make(chan struct{})
	fail = func(op, path string) error {
		if op != "read" || path != filepath.Join(dir, ".spoolgore.js") {
			return nil
		}
		mu.Lock()
		reads++
		n := reads
		mu.Unlock()
		if n == 5 { // the fifth block of 256 KiB
			<-released
		}
		return nil
	}
	return fail, func() { close(released) }
}

func TestMessagesAreSentWhileALongStatusFileIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		deferredB(t, dir, "a-first", "z-last")
		lengthen(t, dir, nil)
		relay := &ledger{}
		fail, release := slowRead(dir)
		s, stop := start(t, dir, Options{Transport: relay, FailDisk: fail})
		pass(time.Minute)
		is.Equal(relay.accepted("a-first", "b@x.org"), 1) // offered before the rest of the file was read
		is.Equal(relay.tries("z-last", "b@x.org"), 0)     // its entry has not been read yet
		is.True(s.Health().Running)                       // the loop runs
		drop(t, dir, "new", textOf("new"))
		s.Flush()
		pass(time.Minute)
		is.Equal(relay.tries("new", "a@x.org"), 0) // a later entry may have a record of the new message
		release()
		pass(time.Minute)
		is.Equal(relay.accepted("z-last", "b@x.org"), 1)
		is.Equal(relay.accepted("new", "a@x.org"), 1)
		is.Equal(relay.tries("a-first", "a@x.org")+relay.tries("z-last", "a@x.org"), 0) // accepted in the run before
		stop()
		is.Equal(entries(t, dir), fillers) // every entry is kept
	})
}

// TestRecipientsThatMayHaveAcceptedWaitForTheWholeStatusFile: an acceptance may be in a later entry or in the journal.
func TestRecipientsThatMayHaveAcceptedWaitForTheWholeStatusFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, name) }
		deferredB(t, dir, "c-journal", "d-replaced", "e-moved", "z-elsewhere", "z-renamed")
		notes := map[string]*record.Note{}
		lengthen(t, dir, func(name string, m *record.Message) {
			if name == "c-journal" || name == "e-moved" { // the status file is older than the journal
				notes[name] = record.FullNote(m, name)
				for _, r := range m.Recipients() {
					r.Status, r.NextAttempt = record.Waiting, time.Now()
				}
			}
		})
		log := journal.New(path(".spoolgore.journal"))
		log.Append(notes["c-journal"].Encode(), time.Now())
		notes["e-moved"].File = "e-other" // the message had this name when a@x.org accepted it
		log.Append(notes["e-moved"].Encode(), time.Now())
		err, _ := log.Sync(time.Now())
		is.NoErr(err)
		log.Close()
		is.NoErr(os.Rename(path("z-renamed"), path("b-renamed")))    // a later entry has the record
		is.NoErr(os.Rename(path("z-elsewhere"), path("d-replaced"))) // the entry is about another file
		relay := &ledger{}
		fail, release := slowRead(dir)
		_, stop := start(t, dir, Options{Transport: relay, FailDisk: fail})
		pass(time.Minute)
		is.Equal(relay.tries("", "a@x.org"), 0) // while half of the file is read
		release()
		pass(20 * time.Minute)
		stop()
		is.Equal(relay.tries("", "a@x.org"), 0)    // nor later: a@x.org has accepted each message
		is.Equal(relay.accepted("", "b@x.org"), 4) // d-replaced was overwritten
	})
}

func TestAStopWhileTheStatusFileIsReadForgetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		deferredB(t, dir, "a-first", "z-last")
		lengthen(t, dir, nil)
		relay := &ledger{answer: deferB}
		fail, release := slowRead(dir)
		_, stop := start(t, dir, Options{Transport: relay, Backoff: seldom, FailDisk: fail})
		pass(time.Minute)
		is.Equal(relay.tries("a-first", "b@x.org"), 1)
		go func() {
			time.Sleep(time.Second)
			release()
		}()
		stop()
		relay.acceptAll()
		_, stop = start(t, dir, Options{Transport: relay, Backoff: seldom})
		pass(time.Minute)
		is.Equal(relay.tries("", "a@x.org"), 0) // accepted before
		is.Equal(relay.accepted("z-last", "b@x.org"), 1)
		is.Equal(relay.tries("a-first", "b@x.org"), 1) // the attempt of the first run is in the journal
		stop()
		is.Equal(entries(t, dir), fillers+1) // also the entries that the first run did not read
	})
}

func TestADamagedLongStatusFileIsSetAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		deferredB(t, dir, "a-first", "z-last")
		lengthen(t, dir, nil)
		info, err := os.Stat(filepath.Join(dir, ".spoolgore.js"))
		is.NoErr(err)
		is.NoErr(os.Truncate(filepath.Join(dir, ".spoolgore.js"), info.Size()-2000)) // without z-last
		relay := &ledger{}
		_, stop := start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		is.Equal(relay.accepted("a-first", "b@x.org"), 1) // its entry is before the damage
		is.Equal(relay.tries("", "a@x.org"), 0)
		is.True(exists(dir, "hold", "z-last")) // a@x.org may have accepted it
	})
}
