// Package smtptest has a fake mail relay for tests. The relay speaks SMTP and LMTP over memory or loopback, sends
// scripted replies, and records commands and messages.
package smtptest

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"testing"
)

// Relay is a fake relay. The zero value accepts every message and offers 8BITMIME and SIZE. The fields must be set
// before the first connection. Any goroutine may call the methods at any time.
type Relay struct {
	// Ext are the EHLO keywords, such as "PIPELINING", "SIZE 1000", "AUTH PLAIN CRAM-MD5" or "STARTTLS" (offered only
	// without TLS). Nil: 8BITMIME and SIZE.
	Ext []string

	// Reply scripts the replies. Nil, or a reply of "": the usual reply. The goroutine of the connection calls Reply.
	//
	// The verb is CONNECT (the greeting), END (the end of the data), DIAL (see Dial), or a command: EHLO, HELO, LHLO,
	// STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT. The arg is the rest of the line; for MAIL and RCPT the
	// bare address; for END with LMTP the recipient; for AUTH the line, also each response to a scripted 334.
	//
	// A reply may hold several lines with CRLF between. The reply is sent unchanged, so a reply can be invalid. A word
	// in place of the reply, or after a bar ("354 go|stall"), is the next action of the relay:
	//
	//   	close   close the connection
	//   	hang    send no more replies, but read on
	//   	stall   send no more replies, and do not read
	//   	drip    send the reply at one octet a second, then go on ("250 ok|drip")
	Reply func(verb, arg string) string

	TLS      *tls.Config       // for STARTTLS and Implicit
	Implicit bool              // TLS from the first byte
	Users    map[string]string // user to password, for AUTH PLAIN, LOGIN and CRAM-MD5; nil: no login is possible
	LMTP     bool              // LHLO instead of EHLO, a reply for each accepted recipient after the data
	NoBDAT   bool              // BDAT is unknown: the relay reads a chunk as commands

	mu       sync.Mutex
	conns    int
	commands []string
	messages []Message
}

// Message is a message that the relay accepted with a 2yz reply.
type Message struct {
	From       string
	To         []string // accepted recipients, in order; with LMTP only recipients accepted after the data, too
	MailParams []string // parameters of MAIL, such as "SIZE=120"
	RcptParams []string // parameters of RCPT as one string for each of To, "" for none
	Data       []byte   // content without dot-stuffing
	BareLF     bool     // Data has an LF without a CR before it
	BareCR     bool     // Data has a CR without an LF after it
	User       string   // user of the login; empty: no login
	TLS        bool     // received over TLS
	Conn       int      // number of the connection, from 1
}

// Dial connects in memory over a net.Pipe, also inside a testing/synctest bubble. The remote address of the connection
// is addr if addr is an IP address, otherwise 192.0.2.1. A scripted reply to the verb DIAL (arg addr) is the text of an
// error that Dial returns.
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

// Listen serves on a free TCP port of 127.0.0.1 and returns the address. At the end of the test, Listen closes all
// connections and waits for the goroutines.
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

// Messages returns the accepted messages in the order of acceptance.
func (r *Relay) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Commands returns all command lines, in order, of all connections.
func (r *Relay) Commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.commands)
}

// Connections returns the number of connections so far.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// script returns the scripted reply, or "".
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
