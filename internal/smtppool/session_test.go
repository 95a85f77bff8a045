package smtppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// If a relay ends an idle connection, the next message does not fail.
func TestLostAtRest(t *testing.T) {
	for name, script := range map[string]struct {
		verb, reply string
		answered    bool // the replies make no sense, but the relay continues
		uncertain   bool // the relay closes the connection without a reply
	}{
		"closed":          {"END", "250 2.0.0 ok|close", false, false},
		"421 to RSET":     {"RSET", "421 4.4.2 bye|close", false, false},
		"421 to MAIL":     {"MAIL", "421 4.4.2 enough|close", false, false},
		"closed at RSET":  {"RSET", "close", false, true},
		"RSET refused":    {"RSET", "500 what", true, false},
		"nonsense":        {"RSET", "nonsense", true, false},
		"closed in reply": {"RSET", "250-|close", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(t *testing.T, ext []string) {
				is := is.New(t)
				relay := &smtptest.Relay{Ext: ext}
				new := true
				relay.Reply = func(verb, _ string) string {
					if verb == "CONNECT" {
						new = true
					}
					reply := ""
					if verb == script.verb && !(verb == "MAIL" && new) {
						reply = script.reply
					}
					new = new && verb != "END"
					return reply
				}
				r := newRelay(t, relay.Dial, 1)
				for i := range 4 {
					e := offerTo(r, mail(fmt.Sprintf("a%d@x.org", i)))[0].Err
					if i > 0 && len(ext) == 2 && script.uncertain {
						// The whole message was sent before the relay closed the connection: the queue gets an error,
						// and offers the message again.
						is.True(e != nil && e.Uncertain && e.Rested)
						e = offerTo(r, mail(fmt.Sprintf("a%d@x.org", i)))[0].Err
					}
					if script.answered && len(ext) == 2 {
						// With CHUNKING the content was sent: another offer could make a second copy. After the first
						// 500 the relay gets one command at a time.
						is.Equal(e != nil && e.Uncertain, i == 1 || i == 3 && name == "nonsense")
					} else {
						is.Equal(e, nil) // no failure
						is.Equal(relay.Connections(), i+1)
					}
					time.Sleep(time.Second)
				}
				is.True(eachOnce(relay, 4))
			})
		})
	}
}

// A relay may end a connection with 421 after some messages. The other messages are sent over further connections.
func TestRelayThatEndsConnectionsWith421(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: ext}
		count := 0
		relay.Reply = func(verb, _ string) string {
			switch verb {
			case "CONNECT":
				count = 0
			case "MAIL":
				if count++; count > 3 {
					return "421 4.4.2 enough|close"
				}
			}
			return ""
		}
		r := newRelay(t, relay.Dial, 1)
		is.Equal(len(failures(deliver(r, 30))), 0) // no message fails
		is.True(eachOnce(relay, 30))
		is.Equal(relay.Connections(), 10)
		is.True(r.pool.limits.cutAt.IsZero()) // and the limit of connections does not shrink
	})
}

func TestNewConnectionFails(t *testing.T) {
	for reply, op := range map[string]attempt.Op{"CONNECT 421 no": attempt.OpGreeting, "EHLO 554 no": attempt.OpEHLO, "MAIL 421 no": attempt.OpMail} {
		t.Run(reply, func(t *testing.T) {
			inModes(t, func(t *testing.T, ext []string) {
				is := is.New(t)
				verb, text, _ := strings.Cut(reply, " ")
				relay := &smtptest.Relay{Ext: ext, Reply: func(v, _ string) string {
					if v == verb {
						return text
					}
					return ""
				}}
				r := newRelay(t, relay.Dial, 1)
				results := deliver(r, 5)
				is.Equal(len(failures(results)), 5) // no other address is left
				for _, res := range results {
					is.Equal(res.Err.Fault, attempt.Relay)
					is.Equal(res.Err.Op, op)
				}
			})
		})
	}
}

func TestTroubleReducesConnections(t *testing.T) {
	for name, reply := range map[string]string{"421": "421 4.4.2 bye|close", "time-out": "hang"} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(t *testing.T, ext []string) {
				is := is.New(t)
				var trouble atomic.Bool
				relay := &smtptest.Relay{Ext: ext, Reply: func(verb, _ string) string {
					if verb == "END" && trouble.Load() {
						return reply
					}
					return ""
				}}
				r := newRelay(t, relay.Dial, 6)
				is.Equal(len(failures(deliver(r, 10))), 0)
				is.Equal(r.Connections(), 6)
				trouble.Store(true)
				e := offerTo(r, mail("a@x.org"))[0].Err
				is.True(e != nil)                         // the failure is returned
				is.Equal(e.Uncertain, name == "time-out") // with the right kind
				is.Equal(r.Connections(), 3)              // half as many connections are opened
			})
		})
	}
}

// A message that cannot be read ends the connection, but the messages that share it are sent.
func TestUnreadableMessage(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		relay := &smtptest.Relay{Ext: ext, Reply: slow("CONNECT")} // so that all messages wait at the same time
		r := newRelay(t, relay.Dial, 1)
		var wg sync.WaitGroup
		broken := errors.New("bad sector")
		wg.Go(func() {
			time.Sleep(time.Millisecond)
			m := mail("bad@x.org")
			m.Content = io.MultiReader(strings.NewReader(text[:5]), iotest.ErrReader(broken))
			e := offerTo(r, m)[0].Err
			is.True(e != nil && e.Fault == attempt.Message && e.Op == attempt.OpContent && errors.Is(e, broken))
		})
		wg.Go(func() {
			time.Sleep(2 * time.Millisecond)
			is.Equal(len(failures(deliver(r, 10))), 0)
		})
		wg.Wait()
		is.True(eachOnce(relay, 10))
	})
}

// Cut ends all offers at once, and the relay gets no more data until Close.
func TestCut(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		var stuck atomic.Bool
		stuck.Store(true)
		relay := &smtptest.Relay{Ext: ext}
		relay.Reply = func(verb, arg string) string {
			if verb == "MAIL" && stuck.Load() {
				return "hang"
			}
			return ""
		}
		r := newRelay(t, relay.Dial, 1)
		why := errors.New("time to go")
		var wg sync.WaitGroup
		offer := func(from string, check func(*failure)) {
			wg.Go(func() {
				began := time.Now()
				check(offerTo(r, mail(from))[0].Err)
				is.True(time.Since(began) <= 2*time.Second) // at once
			})
			synctest.Wait()
		}
		offer("flying@x.org", func(e *failure) {
			is.True(e != nil && errors.Is(e, why)) // with the error of Cut
			is.True(!e.Uncertain)                  // no content was sent
			is.Equal(e.Fault, attempt.None)
		})
		withdrawn := func(e *failure) {
			is.True(e != nil && errors.Is(e, why))
			is.Equal(e.Fault, attempt.None)
		}
		offer("waiting@x.org", withdrawn)
		offer("patient@x.org", withdrawn)
		time.Sleep(2 * time.Second)
		r.Cut(why)
		wg.Wait()
		stuck.Store(false)
		offer("late@x.org", withdrawn)
		wg.Wait()
		is.Equal(len(relay.Messages()), 0)
		is.Equal(relay.Connections(), 1)
		r.Close()
		is.Equal(offerTo(r, mail("again@x.org"))[0].Err, nil) // after Close the pool can be used again
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "QUIT" {
				return "hang"
			}
			return slow("END")(verb, arg)
		}}
		l := &line{relay: relay}
		r := newRelay(t, l.dial, 5)
		r.Close() // without a session
		for range 2 {
			is.Equal(len(failures(deliver(r, 20))), 0)
			open, _, _, _ := l.counts()
			is.Equal(open, 5)
			began := time.Now()
			r.Close()
			is.Equal(time.Since(began), quitLimit) // all sessions at the same time
			open, _, _, _ = l.counts()
			is.Equal(open, 0)
			// no session is left
			is.Equal(r.pool.roster.running+len(r.pool.roster.sessions)+r.pool.roster.connecting+r.pool.roster.leaving+len(r.pool.roster.idle), 0)
		}
	})
}

func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: slow("END")}
		r := newRelay(t, relay.Dial, 2)
		var results []result
		done := make(chan struct{})
		go func() {
			defer close(done)
			results = deliver(r, 20)
		}()
		time.Sleep(80 * time.Millisecond)
		began := time.Now()
		r.Close()
		is.True(time.Since(began) < time.Second) // without waiting for the idle limit
		<-done
		is.Equal(len(failures(results)), 0) // transactions have ended normally
		is.True(eachOnce(relay, 20))
	})
}

func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: slow("END")}
		var dials atomic.Int32
		r := newRelay(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				return relay.Dial(ctx, network, addr)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}, 2)
		is.Equal(len(failures(deliver(r, 2))), 0)
		is.Equal(dials.Load(), int32(2)) // one connection was enough; the other one is still being opened
		began := time.Now()
		r.Close()
		is.Equal(time.Since(began), time.Duration(0)) // the pending connection is not awaited
		is.Equal(r.Connections(), 2)                  // and has no effect on the limit
	})
}

// For any replies of a relay, each message is accepted once, or its outcome is uncertain.
func TestRelayWithRandomReplies(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		dice := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		moods := map[string][]string{
			"CONNECT": {"421 4.7.0 full|close"},
			"RSET":    {"421 4.4.2 bye|close", "close"},
			"MAIL":    {"421 4.4.2 bye|close", "451 4.7.1 too fast", "close"},
			"RCPT":    {"450 4.2.1 later"},
			"END":     {"250 2.0.0 ok|close", "452 4.3.1 full"},
		}
		relay := &smtptest.Relay{Ext: ext, Reply: func(verb, _ string) string {
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if some := moods[verb]; some != nil && dice.IntN(15) == 0 {
				return some[dice.IntN(len(some))]
			}
			return ""
		}}
		r := newRelay(t, relay.Dial, 10)
		outcomes := make([]*failure, 500)
		var wg sync.WaitGroup
		for i := range outcomes {
			wg.Go(func() { outcomes[i] = insist(r, mail(fmt.Sprintf("a%d@x.org", i))) })
		}
		wg.Wait()
		taken := map[string]int{}
		for _, from := range senders(relay) {
			taken[from]++
		}
		for i, e := range outcomes {
			n := taken[fmt.Sprintf("a%d@x.org", i)]
			is.True(n <= 1)                                            // no message is accepted twice
			is.True((n == 1) == (e == nil) || e != nil && e.Uncertain) // and each outcome is right
		}
		is.True(len(taken) > 250) // most messages are accepted
	})
}

// insist offers m until the outcome is not about the relay.
func insist(r *Relay, m *smtpclient.Transaction) *failure {
	for {
		m.Content = strings.NewReader(text)
		e := offerTo(r, m)[0].Err
		if e == nil {
			return nil
		}
		if e.Fault != attempt.Relay {
			return e
		}
		time.Sleep(time.Second)
	}
}

func TestHungUp(t *testing.T) {
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	defer l.Close()
	for name, tt := range map[string]struct {
		act  func(net.Conn)
		want bool
	}{
		"at rest": {func(net.Conn) {}, false},
		"goodbye": {func(c net.Conn) { fmt.Fprint(c, "421 bye\r\n") }, true},
		"closed":  {func(c net.Conn) { c.Close() }, true},
		"reset":   {func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			ours, err := net.Dial("tcp", l.Addr().String())
			is.NoErr(err)
			defer ours.Close()
			theirs, err := l.Accept()
			is.NoErr(err)
			defer theirs.Close()
			is.True(!hungUp(ours))
			tt.act(theirs)
			if tt.want { // on loopback the end is visible as soon as a read would return
				arrived(t, ours)
			}
			is.Equal(hungUp(ours), tt.want)
		})
	}
	a, _ := net.Pipe()
	is.True(!hungUp(a)) // the end cannot be seen on this connection
}

// arrived waits until there is data, and does not read.
func arrived(t *testing.T, nc net.Conn) {
	t.Helper()
	rc, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Minute))
	asked := false
	err = rc.Read(func(uintptr) bool {
		done := asked
		asked = true
		return done || hungUp(nc)
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("no data has arrived")
	}
}

// On a TCP connection the pool notices that the relay has closed an idle connection, before it sends data.
func TestHungUpRelay(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: modes["chunking"], Reply: func(verb, _ string) string {
		if verb == "END" {
			return "250 2.0.0 ok|close"
		}
		return ""
	}}
	addr := relay.Listen(t)
	r, err := New(Options{Addr: addr, Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: 1})
	is.NoErr(err)
	defer r.Close()
	opened := 0
	for i := range 20 {
		m := mail(fmt.Sprintf("a%d@x.org", i))
		m.Content = Content(func() io.Reader { opened++; return strings.NewReader(text) })
		is.Equal(offerTo(r, m)[0].Err, nil)
		arrived(t, atRest(r))
		r.connector.all()[0].closed(0, true, time.Now()) // with a learnt limit of 1 no connection would stay open
	}
	is.True(eachOnce(relay, 20))
	is.Equal(opened, 20) // each message was read once: none was sent on a closed connection
}

// atRest waits for an idle connection.
func atRest(r *Relay) net.Conn {
	for {
		r.pool.mu.Lock()
		resting := slices.Clone(r.pool.roster.idle)
		r.pool.mu.Unlock()
		if len(resting) > 0 {
			return resting[0].raw
		}
		runtime.Gosched()
	}
}
