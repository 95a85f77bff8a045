package mailq_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A file with a temporary name is no message until it has not changed for an hour, whether a daemon runs or not.
func TestTemporaryNames(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir := t.TempDir()
	const text = "From: a@x.org\nTo: ok@x.org\nMessage-ID: <1@x>\n\nbody\n"
	for name, age := range map[string]time.Duration{
		"m.eml.part": 0, "m~": 0, "m.tmp": 59 * time.Minute, "old.tmp": 2 * time.Hour, "m.eml": 2 * time.Hour, "m.own": 0,
	} {
		write(t, dir, name, text)
		at := time.Now().Add(-age)
		is.NoErr(os.Chtimes(filepath.Join(dir, name), at, at))
	}
	states := func(patterns []string) map[string]mailq.State {
		all := map[string]mailq.State{}
		v, err := mailq.Of(dir, "", time.Now())
		is.NoErr(err)
		v.Temporary = patterns
		is.NoErr(v.Each(everywhere, func(e *mailq.Entry) error {
			v.ReadHeader(e)
			all[e.Name] = e.State
			is.Equal(e.State == mailq.Temporary, e.Reason != "")
			return nil
		}))
		return all
	}
	is.Equal(states(nil), map[string]mailq.State{
		"m.eml.part": mailq.Temporary, "m~": mailq.Temporary, "m.tmp": mailq.Temporary, "old.tmp": mailq.New, "m.eml": mailq.New, "m.own": mailq.New,
	})
	is.Equal(states([]string{"*.own"})["m.own"], mailq.Temporary)
	is.Equal(states([]string{"*.own"})["m~"], mailq.New)
	drain(t, dir) // the daemon adds records of these files, which changes nothing
	is.Equal(states(nil), map[string]mailq.State{"m.eml.part": mailq.Temporary, "m~": mailq.Temporary, "m.tmp": mailq.Temporary})
	is.True(!mailq.Temporary.Queued())
}

// The newest damaged status file is the last one. Pattern characters in the path have no special meaning.
func TestSetAside(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	dir := filepath.Join(t.TempDir(), "a[b]*")
	is.NoErr(os.Mkdir(dir, 0o700))
	v, err := mailq.Of(dir, "", time.Now())
	is.NoErr(err)
	is.Equal(len(v.SetAside()), 0)
	write(t, dir, ".spoolgore.js.bad-2", "{")
	write(t, dir, ".spoolgore.js.bad-1", "{")
	aside := v.SetAside()
	is.Equal(len(aside), 2)
	is.Equal(filepath.Base(aside[1]), ".spoolgore.js.bad-2")
}

// After Keep the status file is not read again for each message: with many messages each reading takes a while.
func TestKeptRecords(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	var text []string
	for _, name := range []string{"a", "b", "c"} {
		write(t, dir, name, "From: a@x.org\nTo: ok@x.org\n\nbody\n")
		text = append(text, fmt.Sprintf(`%q: {"From": "a@x.org", "To": [{"Address": %q}]}`, filepath.Join(dir, name), name+"@x.org"))
	}
	write(t, dir, ".spoolgore.js", "{"+strings.Join(text, ", ")+"}")
	v, err := mailq.Of(dir, "", time.Now())
	is.NoErr(err)
	is.NoErr(mailq.Keep(v, map[string]bool{"a": true, "c": true}))
	write(t, dir, ".spoolgore.js", "{}")
	known := func() (all []string) {
		for _, name := range []string{"a", "b", "c"} {
			e, err := v.Find(spooldir.Spool, name)
			is.NoErr(err)
			for _, r := range e.To {
				all = append(all, r.Address)
			}
		}
		return all
	}
	is.Equal(known(), []string{"a@x.org", "c@x.org"})
	v.Live = nil
	is.Equal(len(known()), 0)
}
