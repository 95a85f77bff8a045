package fleet

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// link is a connection to a server that can be cut: then no data passes, and no connection ends.
type link struct {
	mu   sync.Mutex
	open *sync.Cond
	cut  bool
}

// newLink returns a link to the socket of a server, and the directory of a socket that uses the link.
func newLink(t *testing.T, server string) (l *link, dir string) {
	t.Helper()
	dir = t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	return serveLink(t, listener, func() (net.Conn, error) {
		return net.Dial("unix", filepath.Join(server, ".s.PGSQL.5432"))
	}), dir
}

// newRelayLink returns a link to a relay, and an address that uses the link.
func newRelayLink(t *testing.T, relay string) (l *link, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = serveLink(t, listener, func() (net.Conn, error) { return net.Dial("tcp", relay) })
	return l, listener.Addr().String()
}

// serveLink returns a link between a listener and the connections of dial.
func serveLink(t *testing.T, listener net.Listener, dial func() (net.Conn, error)) *link {
	l := &link{}
	l.open = sync.NewCond(&l.mu)
	t.Cleanup(func() {
		listener.Close()
		l.set(false)
	})
	go func() {
		for {
			a, err := listener.Accept()
			if err != nil {
				return
			}
			b, err := dial()
			if err != nil {
				a.Close()
				continue
			}
			go l.carry(a, b)
			go l.carry(b, a)
		}
	}()
	return l
}

// carry copies data while the link is not cut.
func (l *link) carry(from, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for l.cut {
			l.open.Wait()
		}
		l.mu.Unlock()
		if _, failure := to.Write(buf[:n]); err != nil || failure != nil {
			if err != io.EOF || failure != nil {
				from.Close()
			}
			to.Close()
			return
		}
	}
}

// set cuts or restores the link.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	l.open.Broadcast()
}

// The network between the database and a host, or a worker, is interrupted. Programs leave files meanwhile.
func TestScenarioPartitions(t *testing.T) {
	is := is.New(t)
	for _, who := range []string{"host", "worker"} {
		for _, span := range []time.Duration{childLease / 2, 3 * childLease}[:times(1, 2)] {
			server := shared.Server(t)
			s := newScene(t, shared.DB(t), 1)
			l, dir := newLink(t, server.Dir)
			far := strings.ReplaceAll(s.q.opts.DB, server.Dir, dir)
			spool := t.TempDir()
			host := []string{"FLEET_TEST_NAME=h", "FLEET_TEST_DIR=" + spool}
			if who == "host" {
				host = append(host, "FLEET_TEST_DB="+far)
			} else {
				spawn(t, "worker", append(s.env, "FLEET_TEST_DB="+far, "FLEET_TEST_NAME=far")...)
				eventually(t, "both workers run", func() bool {
					w, err := s.q.store.Workers(t.Context())
					return err == nil && len(w) == 2
				})
			}
			spawn(t, "host", append(s.env, host...)...)
			drop := func(n int) {
				for range n {
					subject := fmt.Sprint("m", len(s.put))
					env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
					_, err := spoolgore.New(spool, spoolgore.Options{}).Put(t.Context(), env, strings.NewReader(mail(subject)))
					is.NoErr(err) // Put succeeds
					s.put = append(s.put, subject)
				}
			}
			drop(60)
			eventually(t, "a message is sent", func() bool { return len(s.relay.Messages()) > 0 })
			l.set(true)
			drop(60)
			time.Sleep(span)
			l.set(false)
			eventually(t, "every message is handed on", func() bool { return files(t, spool) == 0 })
			s.ends(fmt.Sprintf("no network between database and %s for %v", who, span), connections*window)
		}
	}
}

// The network between a worker and its relay is interrupted, also for longer than a lease: the worker extends its
// leases, and the transactions go on.
func TestScenarioThePathToTheRelayIsCut(t *testing.T) {
	spans := []time.Duration{childLease / 2, 3 * childLease, 10 * childLease}
	for _, span := range spans[:times(1, 3)] {
		s := newScene(t, shared.DB(t), 0)
		l, addr := newRelayLink(t, strings.TrimPrefix(s.env[1], "FLEET_TEST_RELAY="))
		spawn(t, "worker", append(s.env, "FLEET_TEST_RELAY="+addr, "FLEET_TEST_NAME=far")...)
		s.add(60)
		eventually(t, "a message is sent", func() bool { return len(s.relay.Messages()) > 0 })
		l.set(true)
		s.add(60)
		time.Sleep(span)
		s.worker(0) // another worker, with a working network
		l.set(false)
		s.ends(fmt.Sprintf("no network between worker and relay for %v", span), 0)
	}
}
