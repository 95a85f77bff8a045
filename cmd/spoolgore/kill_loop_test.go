//go:build unix

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/matryer/is"
	"github.com/unbit/spoolgore"
)

const (
	kills    = 50
	messages = 1000
)

var killSeed = flag.Uint64("killseed", 0, "seed of the times at which TestKillLoop kills; 0: another one each time")

// TestKillLoop kills the daemon many times while it sends and while messages are put, and counts the acceptances of the
// relay.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	seed := cmp.Or(*killSeed, uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	relay, spool := &countingRelay{later: map[string]bool{}}, t.TempDir()
	addr := relay.listen(t)
	put := putAll(t, spool)
	seen := make([]map[string]int, kills+1) // by daemon: how often the log says that a recipient was delivered
	for n := range kills {
		d := launchNth(t, n, addr, spool)
		if n%5 > 0 { // every fifth daemon may be killed before it is ready
			d.logs(`"msg":"started"`, 1)
			d.signal(syscall.SIGUSR1)
		}
		put(messages / kills)
		time.Sleep(5*time.Millisecond + time.Duration(random.Int64N(int64(145*time.Millisecond))))
		is.True(d.running()) // the daemon has not ended by itself
		d.signal(syscall.SIGKILL)
		d.exit()
		seen[n] = delivered(t, d)
	}
	put(0)
	d := launchNth(t, kills, addr, spool)
	d.logs(`"msg":"started"`, 1)
	defer func() {
		if t.Failed() {
			text := d.log.String()
			t.Logf("left: %q; the last daemon ends with\n%s", filesIn(t, spool), text[max(0, len(text)-2000):])
		}
	}()
	next := time.Now()
	eventually(t, "every message is sent", func() bool {
		if time.Now().After(next) {
			d.signal(syscall.SIGUSR1)
			next = time.Now().Add(200 * time.Millisecond)
		}
		return len(filesIn(t, spool)) == 0
	})
	d.signal(syscall.SIGTERM)
	code := d.exit()
	seen[kills] = delivered(t, d)
	is.Equal(code, 0)
	for _, sub := range []string{"tmp", "failed"} {
		is.Equal(len(filesIn(t, filepath.Join(spool, sub))), 0) // no file is left
	}
	relay.check(t, seen)
}

// launchNth starts a daemon that gives its number n with EHLO.
func launchNth(t *testing.T, n int, addr, spool string) *daemon {
	env := []string{"GODEBUG=" + noPreemption} // so that the daemon does not execute itself again
	return launch(t, env, "-smtpaddr", addr, "-concurrency", "4", "-window", "4", "-freq", "100ms",
		"-localname", fmt.Sprintf("n%d.test", n), "-logjson", spool)
}

// putAll puts messages into the spool in the background. Each call of more allows n further messages; more(0) waits
// until all messages are put.
func putAll(t *testing.T, dir string) (more func(n int)) {
	spool, tokens, done := spoolgore.New(dir, spoolgore.Options{}), make(chan struct{}, messages), make(chan error, 1)
	go func() {
		var errs []error
		for n := 0; n < messages && len(errs) == 0; n++ {
			<-tokens
			env := spoolgore.Envelope{From: fmt.Sprintf("%d@example.com", n), To: recipientsOf(n)}
			_, err := spool.Put(t.Context(), env, strings.NewReader(textOf(n)))
			if err != nil {
				errs = append(errs, err)
			}
		}
		done <- errors.Join(errs...)
	}()
	return func(n int) {
		for range n {
			tokens <- struct{}{}
		}
		if n == 0 {
			must(t, <-done)
		}
	}
}

func textOf(n int) string {
	return mail(fmt.Sprintf("X-Number: %d", n)) + strings.Repeat("more\n", n) + "end\n"
}

// recipientsOf returns the recipients of message n. A recipient whose address begins with later is deferred once.
func recipientsOf(n int) []string {
	switch {
	case n%6 == 0:
		return []string{fmt.Sprintf("%d@a.test", n), fmt.Sprintf("later%d@b.test", n), fmt.Sprintf("%d@c.test", n)}
	case n%3 == 0:
		return []string{fmt.Sprintf("later%d@a.test", n), fmt.Sprintf("%d@b.test", n), fmt.Sprintf("later%d@c.test", n)}
	}
	return []string{fmt.Sprintf("%d@a.test", n)}
}

// delivered returns how often the log of d says that a recipient was delivered.
func delivered(t *testing.T, d *daemon) map[string]int {
	t.Helper()
	to := map[string]int{}
	text := d.log.String()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // the daemon was killed within the line
		}
		var entry struct{ Level, Msg, To string }
		if json.Unmarshal([]byte(line), &entry) != nil { // text of the race detector, or of a panic
			at := strings.Index(text, line)
			t.Fatalf("a daemon says %s", text[at:min(len(text), at+5000)])
		}
		if entry.Level == "ERROR" {
			t.Errorf("a daemon says %s", line)
		}
		if entry.Msg == "delivered" {
			to[entry.To]++
		}
	}
	return to
}

// filesIn returns the files in a directory, without the files of the daemon.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(strings.TrimLeft(e.Name(), "."), "spoolgore.") {
			names = append(names, e.Name())
		}
	}
	return names
}

// countingRelay is a relay that records the accepted transactions.
type countingRelay struct {
	mu     sync.Mutex
	taken  []taken
	later  map[string]bool // recipients that were deferred
	broken []string        // contents that differ from the message
}

// taken is an accepted transaction.
type taken struct {
	daemon int
	to     []string
}

func (r *countingRelay) listen(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) {
		return &countingSession{relay: r, conn: conn}, nil
	}))
	server.Domain = "relay.test"
	server.ErrorLog = log.New(io.Discard, "", 0) // clients that are killed are no errors
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// countingSession is one connection to the relay.
type countingSession struct {
	relay *countingRelay
	conn  *smtp.Conn
	from  string
	to    []string
}

func (s *countingSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from, s.to = from, nil
	return nil
}

func (s *countingSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	if strings.HasPrefix(to, "later") && !s.relay.later[to] {
		s.relay.later[to] = true
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "not now"}
	}
	s.to = append(s.to, to)
	return nil
}

// Data accepts a message. The acceptance takes a while, so that a transaction is always under way. It counts when the
// whole content has arrived, even if the daemon does not wait for the reply any more.
func (s *countingSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	time.Sleep(5 * time.Millisecond)
	var n, daemon int
	_, err = fmt.Sscanf(s.from, "%d@", &n)
	_, err2 := fmt.Sscanf(s.conn.Hostname(), "n%d.test", &daemon)
	want := strings.ReplaceAll(textOf(n), "\n", "\r\n")
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	if errors.Join(err, err2) != nil || !bytes.Equal(text, []byte(want)) {
		s.relay.broken = append(s.relay.broken, fmt.Sprintf("from %s: %.200q", s.from, text))
	}
	s.relay.taken = append(s.relay.taken, taken{daemon, s.to})
	return nil
}

func (s *countingSession) Reset()        {}
func (s *countingSession) Logout() error { return nil }

// check counts the acceptances. For each daemon, seen has the recipients that its log says were delivered. A
// transaction was in flight at a kill if the relay accepted it and the log of the daemon lacks one of its recipients.
func (r *countingRelay) check(t *testing.T, seen []map[string]int) {
	is := is.New(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	var again []string // recipients with a second acceptance after a log has said that they were delivered
	has, logged, inFlight, twice := map[string]int{}, map[string]bool{}, make([]int, len(seen)), 0
	byDaemon := slices.Clone(r.taken) // the acceptance of one daemon may be recorded after the next daemon has started
	slices.SortStableFunc(byDaemon, func(a, b taken) int { return a.daemon - b.daemon })
	for _, tx := range byDaemon {
		more, open := false, false
		for _, to := range tx.to {
			if logged[to] {
				again = append(again, to)
			}
			more = more || has[to] > 0
			has[to]++
			logged[to] = logged[to] || seen[tx.daemon][to] > 0
			open = open || seen[tx.daemon][to] == 0
		}
		if more {
			twice++
		}
		if open {
			inFlight[tx.daemon]++
		}
	}
	lost, copies := 0, 0
	for n := range messages {
		for _, to := range recipientsOf(n) {
			if has[to] == 0 {
				lost++
			}
			copies += max(0, has[to]-1)
		}
	}
	flying := 0
	for _, n := range inFlight {
		flying += n
	}
	t.Logf("%d messages, %d kills: lost %d; in flight at a kill %d, at most %d at one; sent again %d, to %d recipients, of whom seen %d",
		messages, kills, lost, flying, slices.Max(inFlight), twice, copies, len(again))
	is.Equal(lost, 0)          // every recipient got the message
	is.Equal(len(r.broken), 0) // no content was changed or cut
	is.True(twice <= flying)   // only transactions in flight at a kill are repeated
	is.Equal(inFlight[kills], 0)
	is.Equal(len(again), 0) // no second copy after the log says delivered
}
