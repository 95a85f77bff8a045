package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// times returns the number of repetitions of a scenario: few, or many with SPOOLGORE_FLEET=long.
func times(few, all int) int {
	if os.Getenv("SPOOLGORE_FLEET") == "long" {
		return all
	}
	return few
}

// A scene is a fleet with a relay, a queue in this process, and worker processes.
type scene struct {
	*testing.T
	q       *Queue
	relay   *smtptest.Relay
	env     []string // environment of child processes
	workers []*exec.Cmd

	mu  sync.Mutex
	put []string // subjects of the messages that Put has confirmed
}

// connections and window limit the copies of a kill: the number of connections of a worker, and the number of
// transactions on a connection that the relay has accepted and the database has not recorded.
const (
	connections = 10
	window      = 4
)

// newScene returns a scene on the database db with n worker processes. The relay takes 20 ms for each message.
func newScene(t *testing.T, db string, n int) *scene {
	t.Helper()
	s := &scene{T: t, relay: &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			time.Sleep(20 * time.Millisecond) // so that transactions are in flight
		}
		return ""
	}}}
	s.q = open(t, Options{DB: db, Lease: childLease})
	s.env = []string{
		"FLEET_TEST_DB=" + db, "FLEET_TEST_RELAY=" + s.relay.Listen(t), "FLEET_TEST_JOURNAL=" + t.TempDir(),
	}
	for i := range n {
		s.workers = append(s.workers, s.worker(i))
	}
	eventually(t, "all workers run", func() bool {
		w, err := s.q.store.Workers(t.Context())
		return err == nil && len(w) == n
	})
	return s
}

// worker starts worker i.
func (s *scene) worker(i int) *exec.Cmd {
	return spawn(s.T, "worker", append(s.env, fmt.Sprint("FLEET_TEST_NAME=w", i))...)
}

// add puts n messages.
func (s *scene) add(n int) {
	s.Helper()
	for range n {
		s.mu.Lock()
		subject := fmt.Sprint("m", len(s.put))
		s.put = append(s.put, subject)
		s.mu.Unlock()
		put(s.T, s.q, spoolgore.Envelope{}, mail(subject))
	}
}

// left returns the number of messages in the database; after an error, -1.
func (s *scene) left() int {
	n, err := s.q.store.Count(s.Context())
	if err != nil {
		return -1
	}
	return n
}

// moves waits until the relay gets another message, or every message is sent.
func (s *scene) moves() {
	s.Helper()
	before := len(s.relay.Messages())
	eventually(s.T, "a message is sent", func() bool { return len(s.relay.Messages()) > before || s.left() == 0 })
}

// ends waits until every message is sent, and checks that no message was lost and that there are at most maxCopies
// copies.
func (s *scene) ends(what string, maxCopies int) {
	s.Helper()
	eventually(s.T, "every message is sent", func() bool { return s.left() == 0 })
	got, lost, copies := subjects(s.relay), 0, 0
	for _, subject := range s.put {
		switch n := got[subject+" b@example.org"]; n {
		case 0:
			lost++
		default:
			copies += n - 1
		}
	}
	s.Logf("%s: %d messages, lost %d, copies %d (at most %d)", what, len(s.put), lost, copies, maxCopies)
	if lost > 0 || copies > maxCopies {
		s.Fatalf("%s: lost %d, copies %d", what, lost, copies)
	}
}

// primary returns a server with a synchronous standby.
func primary(t *testing.T) (first, second *pgtest.Server, db string) {
	t.Helper()
	first, db = own(t)
	second, err := first.Standby("second")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Remove)
	if err := first.Set("synchronous_standby_names", "second"); err != nil {
		t.Fatal(err)
	}
	return first, second, db
}
