// Package sink is an SMTP server that discards mail and counts connections, round trips, messages and duplicates. It
// uses little beside the measured programs, and can act as a distant relay: each answer may be delayed by a round trip,
// and the answer to a message longer.
package sink

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// bufferSize is how much of a connection is read at a time.
const bufferSize = 32 << 10

// Config says how a Server answers. The zero value offers no extension, answers at once and takes everything.
type Config struct {
	Extensions []string      // EHLO keywords, such as "PIPELINING" or "SIZE 0"
	Latency    time.Duration // a round trip: delay of every answer
	DataDelay  time.Duration // extra delay of the answer to a message
	Refuse     bool          // every recipient is refused for now, with 450
	Reject     string        // prefix of recipients that are refused for good, with 550; empty: none
	MaxConns   int           // connections at the same time; further ones are greeted with 421; zero: no limit
	Trouble    Trouble
}

// Summary is what a Server has counted so far. Times are in nanoseconds since 1970; zero: not yet.
type Summary struct {
	Connections int64 // greeted with 220
	Open        int64 // of these, still there
	OpenPeak    int64
	TurnedAway  int64 // greeted with 421
	RoundTrips  int64 // times the client spoke after all it had said was answered: the greeting and QUIT count
	Reads       int64 // read(2) that brought something
	Held        int64 // messages received whose answer is still to be sent
	HeldPeak    int64
	Messages    int64 // accepted
	Recipients  int64 // accepted, with their message or not
	Refused     int64 // recipients refused, and messages refused after their content
	Bytes       int64 // of accepted messages
	Unnumbered  int64 // accepted messages without a number
	Distinct    int64 // different numbers among the accepted messages
	Duplicates  int64 // accepted messages whose number had been accepted before
	BadCommands int64 // answered with 5yz: a client that measures well has none
	FirstConn   int64
	FirstMail   int64
	LastMail    int64
	LastAnswer  int64 // to a message
}

// Server is one listening sink.
type Server struct {
	config   Config
	greeting []byte
	ehlo     []byte
	ledger   ledger
	trouble  troubler

	conns, open, openPeak, turnedAway, trips, reads     atomic.Int64
	held, heldPeak, recipients, refused, bad, firstConn atomic.Int64
	lastAnswer                                          atomic.Int64
}

// New returns a server that answers as c says. It does nothing before Serve.
func New(c Config) *Server {
	s := &Server{config: c, greeting: []byte("220 sink.test ESMTP\r\n"), trouble: troubler{Trouble: c.Trouble}}
	lines := append([]string{"sink.test"}, c.Extensions...)
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		s.ehlo = append(s.ehlo, "250"+sep+line+"\r\n"...)
	}
	return s
}

// Serve answers the connections of l until it is closed, and returns when the last of them has ended.
func (s *Server) Serve(l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() { s.serve(conn) })
	}
}

// Summary returns what was counted up to now.
func (s *Server) Summary() Summary {
	sum := Summary{
		Connections: s.conns.Load(), Open: s.open.Load(), OpenPeak: s.openPeak.Load(), TurnedAway: s.turnedAway.Load(),
		RoundTrips: s.trips.Load(), Reads: s.reads.Load(), Held: s.held.Load(), HeldPeak: s.heldPeak.Load(),
		Recipients: s.recipients.Load(), Refused: s.refused.Load(), BadCommands: s.bad.Load(),
		FirstConn: s.firstConn.Load(), LastAnswer: s.lastAnswer.Load(),
	}
	s.ledger.fill(&sum)
	return sum
}

// Times returns when each message was accepted first, by its number, in nanoseconds since 1970; zero: not yet.
func (s *Server) Times() []int64 { return s.ledger.times() }

// serve speaks with one client until it goes.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	n := s.open.Add(1)
	defer s.open.Add(-1)
	if s.config.MaxConns > 0 && n > int64(s.config.MaxConns) {
		s.turnedAway.Add(1)
		conn.Write([]byte("421 too many connections\r\n"))
		return
	}
	raise(&s.openPeak, n)
	s.conns.Add(1)
	s.firstConn.CompareAndSwap(0, time.Now().UnixNano())

	out := newOutbox(conn, s)
	defer out.close()
	out.send(s.greeting, 0)
	s.converse(conn, &session{server: s}, out)
}

// converse reads and answers. Answers are sent when the client can be expected to wait for them: all that has come in
// is dealt with, and it does not end in the middle of a command or of a chunk.
func (s *Server) converse(conn net.Conn, sess *session, out *outbox) {
	buf := make([]byte, bufferSize)
	for !sess.quit {
		n, err := conn.Read(buf)
		if n > 0 {
			s.reads.Add(1)
			if out.answered() {
				s.trips.Add(1)
			}
			sess.feed(buf[:n])
		}
		if sess.waits() && len(sess.out) > 0 {
			if !out.send(sess.out, sess.ended) {
				return
			}
			sess.out, sess.ended = sess.out[:0], 0
		}
		if err != nil {
			return
		}
	}
}

// raise makes peak at least n.
func raise(peak *atomic.Int64, n int64) {
	for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
	}
}
