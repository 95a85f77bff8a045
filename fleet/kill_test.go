package fleet

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// Three workers send and are killed one after the other: no message is lost, and only messages in a transaction have a
// copy.
func TestWorkersAreKilled(t *testing.T) {
	is := is.New(t)
	const messages, kills, connections, window = 300, 5, 10, 4
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			time.Sleep(30 * time.Millisecond) // so that transactions are under way
		}
		return ""
	}}
	addr := relay.Listen(t)
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	env := []string{"FLEET_TEST_DB=" + q.opts.DB, "FLEET_TEST_RELAY=" + addr}
	var workers []*exec.Cmd
	for i := range 3 {
		workers = append(workers, spawn(t, "worker", append(env, fmt.Sprint("FLEET_TEST_NAME=w", i))...))
	}
	for i := range messages {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	for i := range kills {
		before := len(relay.Messages())
		eventually(t, "a worker sends", func() bool { return len(relay.Messages()) > before || rows(t, q) == 0 })
		kill(workers[i%3])
		workers[i%3] = spawn(t, "worker", append(env, fmt.Sprint("FLEET_TEST_NAME=w", i%3))...)
	}
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	got, copies := subjects(relay), 0
	for i := range messages {
		n := got[fmt.Sprintf("m%d b@example.org", i)]
		is.True(n >= 1) // no message is lost
		copies += n - 1
	}
	t.Logf("%d copies after %d kills", copies, kills)
	is.True(copies <= kills*connections*window)
}
