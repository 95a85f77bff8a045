package smtpclient

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/unbit/spoolgore/internal/attempt"
)

// A Survey holds the facts that a session found out about a relay. After a failed set-up, the survey ends at the failed
// step.
type Survey struct {
	// Offers are the lines of the reply to EHLO, such as "SIZE 1000", in the order of the relay. After STARTTLS, Offers
	// are the lines sent over TLS.
	Offers []string

	TLS       *tls.ConnectionState // nil: no TLS
	Mechanism string               // mechanism of the last AUTH; empty: no AUTH
}

// Probe sets up a session like Connect and sends MAIL and RCPT for t, then RSET. Probe sends no content and reads no
// content. Probe owns nc and closes nc in any case.
//
// The results are in the order of t.To. A result without Err means that the relay would accept the recipient. The
// results are nil if the set-up failed; err is then an *Error.
func Probe(ctx context.Context, nc net.Conn, cfg Config, t *Transaction) (Survey, []Result, error) {
	c := newConn(nc, cfg)
	err := c.start(ctx)
	found := Survey{Offers: c.ext.lines(), TLS: c.tlsState(), Mechanism: c.mech}
	if err != nil {
		return found, nil, err
	}
	results := c.probe(ctx, t)
	_ = c.Quit() // the results are known
	return found, results, nil
}

// probe sends the envelope of t and RSET.
func (c *Conn) probe(ctx context.Context, t *Transaction) []Result {
	defer c.wire.watch(ctx)()
	s := newServing(c, nil, func(*Transaction, []Result) {})
	x := c.newTransaction(t)
	s.pipe.add(x)
	s.envelope(x)
	s.pipe.drain()
	if !c.wire.closed {
		_, _ = c.wire.ask(attempt.OpMail, []int{2}, "RSET") // the relay drops the transaction at QUIT in any case
	}
	return x.results
}
