package engine

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// A scan comes every five minutes where the system notifies of each change. In doubt it comes within Options.Freq.
func TestTimeOfTheNextScan(t *testing.T) {
	is := is.New(t)
	e := newEngine(t, nil)
	w, err := e.spool.dir.Watch()
	is.NoErr(err)
	s := e.scanner
	s.watcher = w // closed by e
	if !w.Complete() {
		t.Skip("the file system of the tests does not tell of each change")
	}
	began := time.Now()
	scanned := func() { s.last, s.by = began, time.Time{} }
	after := func(at time.Time) time.Duration { return at.Sub(began) }
	scanned()
	is.Equal(after(s.next()), 5*time.Minute)

	s.mounted(began.Add(time.Second))
	s.mounted(began.Add(2 * time.Second))
	is.Equal(after(s.next()), 10*time.Second) // mounts that never end do not make scans never end
	s.scanning = true
	is.Equal(after(s.next()), 5*time.Minute) // the loop does not wait for a time that has come
	s.scanning = false
	is.Equal(after(s.next()), 10*time.Second) // after the scan under way comes another one
	scanned()
	s.mounted(began.Add(time.Minute))
	is.Equal(after(s.next()), time.Minute)

	scanned()
	s.noticed(spooldir.Event{Doubt: true}, true)
	first := s.next()
	is.True(after(first) >= 10*time.Second && after(first) < time.Minute)
	s.noticed(spooldir.Event{Doubt: true}, true)
	is.Equal(s.next(), first) // events do not put the scan off
	s.ctx = t.Context()
	s.scan(began) // too early to see what the removal leads to
	s.scanning = false
	is.Equal(s.next(), first)
	s.scan(first)
	is.Equal(s.next(), first.Add(5*time.Minute))
}
