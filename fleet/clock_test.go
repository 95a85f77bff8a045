package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// wrong returns a server whose clock differs from the clock of this host by offset, such as "+3600".
func wrong(t *testing.T, offset string) *pgtest.Server {
	t.Helper()
	return faked(t, "FAKETIME="+offset)
}

// faked returns a server with a clock that libfaketime sets.
func faked(t *testing.T, settings ...string) *pgtest.Server {
	t.Helper()
	all, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if len(all) == 0 {
		t.Skip("libfaketime is not installed (Debian: apt-get install libfaketime)")
	}
	for _, x := range append(settings, "LD_PRELOAD="+all[0], "FAKETIME_DONT_FAKE_MONOTONIC=1") {
		name, value, _ := strings.Cut(x, "=")
		t.Setenv(name, value)
		defer os.Unsetenv(name) // not for hosts and workers
	}
	server, err := pgtest.New()
	pgtest.Need(t, err)
	t.Cleanup(server.Remove)
	return server
}

// The clock of the database is wrong by an hour, so the clocks of hosts and workers differ from it. The clock of the
// database decides: no message is sent too early or given up, and the rate is kept.
func TestScenarioClocksAreWrong(t *testing.T) {
	is := is.New(t)
	for _, offset := range []string{"+3600", "-3600"} {
		server := wrong(t, offset)
		db, err := server.Create("fleet")
		is.NoErr(err)
		s := newScene(t, db, 0)
		var mu sync.Mutex
		var mails []time.Time
		s.relay.Reply = func(verb, _ string) string {
			if verb == "MAIL" {
				mu.Lock()
				defer mu.Unlock()
				mails = append(mails, time.Now())
			}
			return ""
		}
		later := time.Now().Add(3 * time.Second) // NotBefore of the message
		x, err := s.q.store.Server(t.Context())
		is.NoErr(err)
		is.True(time.Since(x.Now).Abs() > 59*time.Minute) // the clocks differ
		expire := x.Now.Add(30 * time.Minute)
		for i := range 40 {
			env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}, Expire: expire}
			subject := fmt.Sprint("m", i)
			if i == 0 {
				subject, env.NotBefore = "later", x.Now.Add(3*time.Second)
			}
			s.put = append(s.put, subject)
			put(t, s.q, env, mail(subject))
		}
		s.put = append(s.put, "file")
		dir := t.TempDir()
		_, err = spoolgore.New(dir, spoolgore.Options{}).Put(t.Context(), spoolgore.Envelope{
			From: "a@example.com", To: []string{"b@example.org"},
		}, strings.NewReader(mail("file")))
		is.NoErr(err)
		spawn(t, "host", append(s.env, "FLEET_TEST_NAME=h", "FLEET_TEST_DIR="+dir)...)
		s.env = append(s.env, "FLEET_TEST_RATE=14/s")
		s.worker(0)
		kill(s.worker(1))
		s.worker(1)
		eventually(t, "the message that waits for its time is sent", func() bool {
			sent := subjects(s.relay)["later b@example.org"] > 0
			early := time.Now()
			is.True(!sent || !early.Before(later)) // not before its time
			return sent
		})
		s.ends("clock wrong by "+offset+" s", 0)
		slices.SortFunc(mails, time.Time.Compare)
		for i := 14; i < len(mails); i++ {
			is.True(mails[i].Sub(mails[i-14]) > time.Second) // no second has more than 14 messages
		}
	}
}

// The clock of the database is set forward and back by an hour while workers run: no worker gets a message that another
// one is sending.
func TestScenarioTheClockIsSet(t *testing.T) {
	is := is.New(t)
	file := filepath.Join(t.TempDir(), "offset")
	set := func(offset string) {
		is.NoErr(os.WriteFile(file+".new", []byte(offset), 0o644))
		is.NoErr(os.Rename(file+".new", file))
	}
	set("+0")
	for dir := filepath.Dir(file); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		is.NoErr(os.Chmod(dir, 0o755)) // the server does not run as root
	}
	server := faked(t, "FAKETIME_TIMESTAMP_FILE="+file, "FAKETIME_NO_CACHE=1")
	db, err := server.Create("fleet")
	is.NoErr(err)
	const lease = 4 * time.Second
	replies := make(chan bool)
	slow := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			<-replies
		}
		return ""
	}}
	other := &smtptest.Relay{}
	q := open(t, Options{DB: db, Lease: lease})
	put(t, q, spoolgore.Envelope{}, mail("one"))
	work(t, q, options(slow))
	reply := sync.OnceFunc(func() { close(replies) })
	t.Cleanup(reply)
	eventually(t, "the message is being sent", func() bool { return inState(t, q, store.LeasedOut) == 1 })
	for range 3 {
		work(t, open(t, Options{DB: db, Lease: lease}), options(other))
	}
	time.Sleep(lease + lease/3) // each worker may end leases now
	for _, offset := range []string{"+3600", "+0"} {
		set(offset)
		eventually(t, "the clock is set", func() bool {
			x, err := q.store.Server(t.Context())
			return err == nil && (time.Until(x.Now) > time.Minute) == (offset != "+0")
		})
		time.Sleep(2 * lease)
		is.Equal(len(other.Messages()), 0)
	}
	reply()
	eventually(t, "the message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(slow.Messages())+len(other.Messages()), 1)
	put(t, q, spoolgore.Envelope{}, mail("two"))
	eventually(t, "the workers go on", func() bool { return rows(t, q) == 0 })
}
