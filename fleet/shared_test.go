package fleet

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// The relay gets no more messages than the limit in any second, from all workers together, also when some workers are
// killed.
func TestTheRateHoldsForAllWorkers(t *testing.T) {
	is := is.New(t)
	var mu sync.Mutex
	var mails []time.Time
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "MAIL" {
			mu.Lock()
			defer mu.Unlock()
			mails = append(mails, time.Now())
		}
		return ""
	}}
	addr := relay.Listen(t)
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	env := []string{"FLEET_TEST_DB=" + q.opts.DB, "FLEET_TEST_RELAY=" + addr, "FLEET_TEST_RATE=14/s", "FLEET_TEST_NAME=w"}
	const messages = 60
	for i := range messages {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	workers := []*exec.Cmd{spawn(t, "worker", env...), spawn(t, "worker", env...), spawn(t, "worker", env...)}
	for i := range 2 {
		before := len(relay.Messages())
		eventually(t, "workers send", func() bool { return len(relay.Messages()) >= before+10 })
		kill(workers[i])
		spawn(t, "worker", env...)
	}
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(mails, time.Time.Compare)
	for i := 14; i < len(mails); i++ {
		is.True(mails[i].Sub(mails[i-14]) > time.Second) // no second has more than 14 messages
	}
}

// While a relay refuses the login, one worker at a time tries to log in.
func TestARefusedLoginIsShared(t *testing.T) {
	is := is.New(t)
	var good atomic.Bool
	var logins atomic.Int64
	relay := &smtptest.Relay{
		Ext: []string{"AUTH PLAIN"}, Users: map[string]string{"app": "secret"},
		Reply: func(verb, _ string) string {
			if verb != "AUTH" || good.Load() {
				return ""
			}
			logins.Add(1)
			return "535 5.7.8 no"
		},
	}
	q := open(t, Options{})
	opts := options(relay)
	opts.SMTPAddr, opts.Dial = relay.Listen(t), nil // on loopback a password is sent without TLS
	opts.SMTP = spoolgore.SMTP{User: "app", Password: "secret", TLS: "none"}
	var stops []func()
	for range 5 {
		stops = append(stops, work(t, q, opts))
	}
	for i := range 50 {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	eventually(t, "the relay pauses for the third time", func() bool {
		r, err := q.store.Relays(t.Context())
		is.NoErr(err)
		return len(r) == 1 && r[0].Rest >= 4*time.Second
	})
	is.True(logins.Load() <= 2*3) // two logins for each pause
	for _, stop := range stops {  // a worker does not repeat a refused login for a while
		stop()
	}
	good.Store(true)
	work(t, q, opts)
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(relay.Messages()), 50) // no copy
}

// A worker without a network leaves messages to the other worker, and no attempt is counted.
func TestAWorkerWithoutNetworkHoldsUpNothing(t *testing.T) {
	is := is.New(t)
	broken := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "DIAL" {
			return "no route to host"
		}
		return ""
	}}
	relay := &smtptest.Relay{}
	q := open(t, Options{})
	work(t, q, options(broken))
	put(t, q, spoolgore.Envelope{}, mail("first"))
	eventually(t, "a dial fails", func() bool {
		w, err := q.store.Workers(t.Context())
		is.NoErr(err)
		return len(w) == 1 && strings.Contains(string(w[0].Status), "no route to host")
	})
	work(t, q, options(relay))
	for i := range 100 {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	is.Equal(len(relay.Messages()), 101)
}

// A worker that was stopped for longer than its lease begins no transaction with the old leases when it is continued.
func TestAStoppedWorkerWakesUp(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "END" {
			time.Sleep(20 * time.Millisecond)
		}
		return ""
	}}
	addr := relay.Listen(t)
	q := open(t, Options{DB: shared.DB(t), Lease: childLease})
	env := []string{"FLEET_TEST_DB=" + q.opts.DB, "FLEET_TEST_RELAY=" + addr}
	const messages, connections, window = 300, 10, 4
	for i := range messages {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	stopped := spawn(t, "worker", append(env, "FLEET_TEST_NAME=stopped")...)
	eventually(t, "the worker sends", func() bool { return len(relay.Messages()) > 20 })
	is.NoErr(stopped.Process.Signal(syscall.SIGSTOP))
	spawn(t, "worker", append(env, "FLEET_TEST_NAME=other")...)
	eventually(t, "the other worker has sent every message", func() bool { return rows(t, q) == 0 })
	is.NoErr(stopped.Process.Signal(syscall.SIGCONT))
	sent := len(relay.Messages())
	for i := range 20 {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("n", i)))
	}
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	got, copies := subjects(relay), 0
	for i := range messages {
		n := got[fmt.Sprintf("m%d b@example.org", i)]
		is.True(n >= 1) // no message is lost
		copies += n - 1
	}
	t.Logf("%d copies, %d messages when the worker went on", copies, sent)
	is.True(copies <= connections*window) // the transactions in flight
}
