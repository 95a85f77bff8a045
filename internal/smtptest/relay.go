// Package smtptest holds a fake mail relay for tests: it speaks SMTP and LMTP over memory or loopback, answers what a
// test tells it to, and remembers what it got.
package smtptest

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"
)

// Relay is a fake relay. The zero value accepts everything and offers 8BITMIME and SIZE. The fields are set before the
// first connection; the methods may be called at any time from any goroutine.
type Relay struct {
	// Ext are the EHLO keywords offered, such as "PIPELINING", "SIZE 1000", "AUTH PLAIN CRAM-MD5" or "STARTTLS"
	// (which is offered only until TLS is on); nil: 8BITMIME and SIZE.
	Ext []string

	// Reply scripts the answers; nil, or an answer of "": the usual one. It is called from the goroutine of the
	// connection.
	//
	// The verb is CONNECT (the greeting), END (the end of the data), DIAL (see Dial), or a command: EHLO, HELO, LHLO,
	// STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT. The arg is the rest of the line; for MAIL and RCPT
	// the bare address; for END with LMTP the recipient; for AUTH the line, also each line that answers a scripted 334.
	//
	// An answer may hold several lines with CRLF between them; it is sent as it is, so it can be garbage. A word
	// in place of the answer, or behind it after a bar ("354 go|stall"), says what happens next:
	//
	//	close   hang up
	//	hang    answer nothing any more, but read on
	//	stall   answer nothing, read nothing
	//	drip    send the answer at one byte a second, then go on ("250 ok|drip")
	Reply func(verb, arg string) string

	TLS      *tls.Config       // for STARTTLS and Implicit
	Implicit bool              // TLS from the first byte
	Users    map[string]string // user to password, for AUTH PLAIN, LOGIN and CRAM-MD5; nil: nobody can log in
	LMTP     bool              // LHLO instead of EHLO, an answer for each accepted recipient after the data

	mu       sync.Mutex
	conns    int
	commands []string
	messages []Message
}

// Message is a message the relay has answered for with a 2yz reply.
type Message struct {
	From       string
	To         []string // accepted recipients, in order; with LMTP only those accepted after the data too
	MailParams []string // parameters of MAIL, such as "SIZE=120"
	RcptParams []string // parameters of RCPT as one string for each of To, "" for none
	Data       []byte   // without dot-stuffing
	BareLF     bool     // Data has an LF without a CR before it
	BareCR     bool     // Data has a CR without an LF after it
	User       string   // who was logged in; "" for nobody
	TLS        bool     // came over TLS
	Conn       int      // number of the connection, from 1
}

// Dial connects in memory through a net.Pipe, so it works inside a testing/synctest bubble. The remote address of the
// connection is addr where that is an IP address, else 192.0.2.1. A scripted reply to the verb DIAL (arg addr) is the
// text of an error to return instead of a connection.
func (r *Relay) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	remote := parseAddr(addr)
	if text := r.script("DIAL", addr); text != "" {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: remote, Err: dialError(text)}
	}
	client, server := net.Pipe()
	end := &pipeEnd{Conn: client, remote: remote, closed: make(chan struct{})}
	go r.serve(newEagerConn(server), end.closed)
	return end, nil
}

// Listen serves on a free TCP port of 127.0.0.1 and returns its address. At the end of the test it hangs up everywhere
// and waits until all its goroutines have ended.
func (r *Relay) Listen(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
				defer stop()
				r.serve(conn, done)
			})
		}
	})
	// t.Context ends just before the cleanups run.
	t.Cleanup(func() {
		close(done)
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// Messages returns the accepted messages in the order of their acceptance.
func (r *Relay) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Commands returns all command lines seen, in order, over all connections.
func (r *Relay) Commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.commands)
}

// Connections returns the number of connections there have been.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// script asks the test for its answer.
func (r *Relay) script(verb, arg string) string {
	if r.Reply == nil {
		return ""
	}
	return r.Reply(verb, arg)
}

func (r *Relay) connected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	return r.conns
}

func (r *Relay) heard(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, line)
}

func (r *Relay) accept(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
}

type dialError string

func (e dialError) Error() string { return string(e) }
