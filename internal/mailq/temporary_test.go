package mailq_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/mailq"
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
