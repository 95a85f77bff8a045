// Package smtpclient speaks SMTP (RFC 5321) and LMTP (RFC 2033) as a client of a mail relay. It takes an open connection
// and hands over messages; it knows nothing of files, queues and retries. Whatever goes wrong comes back as an Error that
// says at which step, so that its caller can tell whose fault it is.
package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
	"unique"
)

// TLSMode says when TLS is used.
type TLSMode int

// The TLS modes. A handshake that fails is never followed by an attempt in the clear.
const (
	TLSAuto     TLSMode = iota // STARTTLS (RFC 3207) where it is offered
	TLSImplicit                // TLS from the first byte (RFC 8314)
	TLSStartTLS                // STARTTLS; an error where it is not offered
	TLSNone                    // no TLS
)

// Config says how a connection is set up.
type Config struct {
	LocalName string  // name for EHLO; required
	Host      string  // name of the relay, for its certificate
	TLS       TLSMode // zero: TLSAuto

	// TLSConfig is cloned, and Host is filled in where it has no ServerName, TLS 1.2 where it has no MinVersion.
	// Nil: the roots of the system. With nil and TLSAuto the certificate of a relay on the same host (a loopback
	// address or a Unix socket) is not verified: local relays sign their own, and nothing leaves the host.
	TLSConfig *tls.Config

	// Auth picks the mechanism for AUTH; nil: no AUTH. Where it is set, no mail is sent without.
	Auth AuthFunc

	// Pins are the public keys one of which the relay must have: "sha256//" and the base64 of the SHA-256 of its
	// SubjectPublicKeyInfo. A certificate with such a key needs no other verification, and TLSAuto does not go on
	// without TLS. Nil: none are asked for.
	Pins []string

	// Sessions lets later connections resume TLS sessions; copies of a Config share it. Nil: none are resumed, unless
	// TLSConfig has a cache of its own.
	Sessions tls.ClientSessionCache

	LMTP         bool // LMTP (RFC 2033): LHLO, and an answer for each recipient after the data
	NoPipelining bool // PIPELINING (RFC 2920) is not used where it is offered, and CHUNKING neither
	NoChunking   bool // CHUNKING (RFC 3030) is not used where it is offered

	// Window is how many transactions may share a flight where CHUNKING is used; zero: 4. It is also how many messages
	// a lost connection can leave uncertain.
	Window int

	// Piece is how much of a message that does not fit into one flight is written at once, in octets: a connection that
	// waits for the network holds as much. Zero: 32 KiB.
	Piece int

	// Welcomed, if not nil, is called when the relay has greeted the connection, by the goroutine that called Connect.
	Welcomed func()

	// Timeout is an upper bound for each step. Zero: only the limits of RFC 5321, section 4.5.3.2, apply, from 2
	// minutes (DATA, TLS, AUTH) to 10 (the answer to the end of the data).
	Timeout time.Duration
}

// Conn is a session with a relay. It is used by one goroutine at a time.
type Conn struct {
	cfg     Config
	raw     net.Conn // as it came in: closing it ends everything at once, also inside a TLS handshake
	nc      net.Conn // raw, or TLS over it
	r       *lineReader
	out     flight        // holds memory only while there is something to send
	limit   time.Duration // for the step in progress
	ext     []extension
	version uint16          // of TLS; zero: none
	mech    string          // that AUTH was last tried with; empty: it was not
	private bool            // what is sent now can be read by the relay alone
	used    bool            // there has been a transaction
	broken  bool            // the state of the session is not known, or it is over
	failed  error           // what made sending fail: nothing more is sent
	ctx     context.Context // of the call in progress; it tells why a connection was closed under it
}

// Connect sets up a session on an open connection: greeting, EHLO (HELO, where EHLO is not known), STARTTLS, AUTH. It
// owns nc from then on and closes it on an error, which is always an *Error. When ctx ends, nc is closed at once.
func Connect(ctx context.Context, nc net.Conn, cfg Config) (*Conn, error) {
	c := newConn(nc, cfg)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func newConn(nc net.Conn, cfg Config) *Conn {
	return &Conn{cfg: cfg, raw: nc, nc: nc, r: newLineReader(nc), private: isLocal(nc.RemoteAddr())}
}

// start is setUp until ctx ends. After an error the connection is closed.
func (c *Conn) start(ctx context.Context) error {
	done := c.watch(ctx)
	err := c.setUp()
	done()
	if err == nil && c.broken { // ctx ended just after the last step
		err = &Error{Op: OpGreeting, Err: context.Cause(ctx)}
	}
	if err != nil {
		c.abandon()
	}
	return err
}

// An extension is a line of the answer to EHLO. Its strings are shared with those of all other connections.
type extension struct{ keyword, param string }

func newExtension(line string) extension {
	keyword, param, _ := strings.Cut(line, " ")
	return extension{unique.Make(strings.ToUpper(keyword)).Value(), unique.Make(strings.TrimSpace(param)).Value()}
}

// Extension tells whether the relay offers an extension, and the parameters it gave for it. The case of the name does
// not matter. After STARTTLS only what was offered since counts.
func (c *Conn) Extension(name string) (param string, ok bool) {
	for _, e := range c.ext {
		if strings.EqualFold(e.keyword, name) {
			return e.param, true
		}
	}
	return "", false
}

// Usable tells whether there can be another transaction: false after Close and Quit, after a 421, and after any error
// that leaves the state of the session in doubt.
func (c *Conn) Usable() bool { return !c.broken }

// Close hangs up, without a QUIT.
func (c *Conn) Close() error {
	c.broken = true
	c.out.release()
	if err := c.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection: %w", err)
	}
	return nil
}

// Quit says QUIT, waits a few seconds for an answer, and hangs up. What the relay says to it matters to nobody. A
// session that is not usable is only closed.
func (c *Conn) Quit() error {
	if c.broken {
		return c.Close()
	}
	_, _ = c.ask(opQuit, []int{2}, "QUIT")
	if !c.broken && c.nc != c.raw {
		_ = c.nc.Close() // says goodbye in TLS too
	}
	return c.Close()
}

// setUp is everything before the first transaction. It returns an *Error or a true nil.
func (c *Conn) setUp() error {
	for _, step := range []func() *Error{c.implicitTLS, c.greeting, c.hello, c.startTLS, c.logIn} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) greeting() *Error {
	_, err := c.expect(OpGreeting, 220)
	if err == nil && c.cfg.Welcomed != nil {
		c.cfg.Welcomed()
	}
	return err
}

// hello says EHLO (LHLO) and notes what is offered. Old relays, and some firewalls, know HELO only.
func (c *Conn) hello() *Error {
	if c.cfg.LocalName == "" || checkAddress(c.cfg.LocalName) != nil {
		return &Error{Op: OpEHLO, Err: fmt.Errorf("the local name %q is no host name", c.cfg.LocalName)}
	}
	c.ext = nil
	first, greet := true, "EHLO "
	if c.cfg.LMTP {
		greet = "LHLO "
	}
	_, err := c.askLines(OpEHLO, []int{250}, func(line string) {
		if !first {
			c.ext = append(c.ext, newExtension(line))
		}
		first = false
	}, greet, c.cfg.LocalName)
	if err == nil || c.cfg.LMTP {
		return err
	}
	c.ext = nil
	switch err.Reply.Code {
	case 500, 502, 504, 550:
		_, err = c.ask(OpEHLO, []int{250}, "HELO ", c.cfg.LocalName)
	}
	return err
}

// isLocal tells whether an address is on this host.
func isLocal(addr net.Addr) bool {
	if addr == nil {
		return false
	}
	if addr.Network() == "unix" {
		return true
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
