package smtpclient

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
)

// A Survey is what a session has found out about a relay, as far as it came.
type Survey struct {
	// Offers are the lines of the answer to EHLO, such as "SIZE 1000", in the order of the relay: after STARTTLS those that
	// were given since.
	Offers []string

	TLS       *tls.ConnectionState // nil: the session has no TLS
	Mechanism string               // that AUTH was tried with; empty: it was not
}

// Probe sets up a session as Connect does, and asks by MAIL and RCPT whether the relay would take t, which it takes back
// with RSET: no content is sent, and none is read. It owns nc and closes it in any case. The results, in the order of t.To,
// are nil if the session could not be set up, for which err is an *Error; a Result without an Err would be taken.
func Probe(ctx context.Context, nc net.Conn, cfg Config, t *Transaction) (Survey, []Result, error) {
	c := newConn(nc, cfg)
	err := c.start(ctx)
	found := c.survey()
	if err != nil {
		return found, nil, err
	}
	results := c.envelopeOnly(ctx, t)
	_ = c.Quit() // whatever it says, the answers are known
	return found, results, nil
}

func (c *Conn) survey() Survey {
	s := Survey{Mechanism: c.mech}
	for _, e := range c.ext {
		s.Offers = append(s.Offers, strings.TrimSpace(clean(e.keyword)+" "+clean(e.param)))
	}
	if secure, ok := c.nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		s.TLS = &state
	}
	return s
}

// envelopeOnly offers t as far as RCPT.
func (c *Conn) envelopeOnly(ctx context.Context, t *Transaction) []Result {
	defer c.watch(ctx)()
	s := &serving{c: c, done: func(*Transaction, []Result) {}}
	_, s.pipelined = c.Extension("PIPELINING")
	s.pipelined = s.pipelined && !c.cfg.NoPipelining
	x := c.newTransaction(t)
	s.flying = append(s.flying, x)
	s.envelope(x)
	s.settle()
	if !c.broken {
		_, _ = c.ask(OpMail, []int{2}, "RSET") // a relay that does not know it forgets the transaction with the session
	}
	return x.results
}
