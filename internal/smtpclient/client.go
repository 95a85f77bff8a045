// Package smtpclient is a client for SMTP (RFC 5321) and LMTP (RFC 2033). The package sends messages over an open
// connection to a mail relay, and has no knowledge of files, queues and retries. Every failure is an Error with the
// failed step.
package smtpclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
)

// TLSMode selects the use of TLS.
type TLSMode int

// The TLS modes. A failed handshake is never followed by a session without TLS.
const (
	TLSAuto     TLSMode = iota // STARTTLS (RFC 3207) if offered
	TLSImplicit                // TLS from the first octet (RFC 8314)
	TLSStartTLS                // STARTTLS; an error if not offered
	TLSNone                    // no TLS
)

const (
	defaultWindow = 4        // default of Config.Window
	defaultPiece  = 32 << 10 // default of Config.Piece
)

// Config holds the settings of a connection.
type Config struct {
	LocalName string  // host name for EHLO; required
	Host      string  // host name of the relay, for the certificate
	AltHost   string  // a second host name that the certificate may have; empty: none
	Local     bool    // the relay is configured to be on this host
	TLS       TLSMode // zero: TLSAuto

	// TLSConfig is cloned. Host is the default for an empty ServerName, TLS 1.2 for an empty MinVersion. Nil: the
	// system's root certificates. With nil and TLSAuto, the certificate of a Local relay at a loopback address or Unix
	// socket is not verified: local relays sign certificates themselves, and no octet leaves the host.
	TLSConfig *tls.Config

	TLSMin uint16 // lowest TLS version; zero: that of TLSConfig. Below TLS 1.2, weak ciphers are allowed, too

	// Auth selects the mechanism for AUTH. Nil: no AUTH. If Auth is set, no mail is sent without a login.
	Auth AuthFunc

	// Logins are the facts about logins at the relay. The connections to a relay share the Logins. Nil: every
	// connection logs in on its own.
	Logins *Logins

	// AuthText makes errors of AUTH have the text of the reply, which can hold parts of the login: for a probe, whose
	// result is not kept. Otherwise they have the codes only.
	AuthText bool

	// Pins are the accepted public keys of the relay: "sha256//" and the base64 of the SHA-256 of the
	// SubjectPublicKeyInfo. A certificate with a pinned key needs no other verification. With pins, TLSAuto requires
	// STARTTLS. Nil: no pinning.
	Pins []string

	// Sessions is the cache for TLS session resumption. Copies of a Config share the cache. Nil: no resumption, unless
	// TLSConfig has a cache.
	Sessions tls.ClientSessionCache

	LMTP         bool // LMTP (RFC 2033): LHLO, and one reply for each recipient after the content
	NoPipelining bool // do not use PIPELINING (RFC 2920) and CHUNKING, even if offered
	NoChunking   bool // do not use CHUNKING (RFC 3030), even if offered

	// Abilities are the facts learnt about the address of the relay. The connections to an address share the Abilities.
	// Nil: no facts are used or learnt.
	Abilities *Abilities

	// ReportFrom replaces the null sender after the relay has refused the null sender with 5yz; empty: never.
	ReportFrom string

	NoQuotas   bool // a 5yz reply about a quota or the account is final
	Recipients int  // limit for the recipients of a transaction; zero: no limit, unless Abilities has one

	// Window is the number of transactions that can share a flight if CHUNKING is used; zero: 4. A lost connection can
	// leave as many messages uncertain.
	Window int

	// Piece is the size of a write, in octets, for a message larger than a flight. A connection that waits for the
	// network holds as much memory. Zero: 32 KiB.
	Piece int

	// Welcomed, if not nil, is called when the relay has sent a greeting, by the goroutine that called Connect.
	Welcomed func()

	// Timeout is an upper bound for each step. Zero: only the limits of RFC 5321, section 4.5.3.2, apply: from 2
	// minutes (DATA, TLS, AUTH) to 10 minutes (reply to the end of the content).
	Timeout time.Duration
}

// window returns Window or the default.
func (cfg *Config) window() int {
	if cfg.Window > 0 {
		return cfg.Window
	}
	return defaultWindow
}

// piece returns Piece or the default.
func (cfg *Config) piece() int {
	if cfg.Piece > 0 {
		return cfg.Piece
	}
	return defaultPiece
}

// Conn is a session with a relay. Only one goroutine at a time may use a Conn.
type Conn struct {
	cfg     Config
	wire    wire
	ext     extensions // offered by the relay
	last    extensions // offered, and used only for a message that cannot be sent without, see noParam
	version uint16     // TLS version; zero: no TLS
	mech    string     // mechanism of the last AUTH; empty: no AUTH
	private bool       // only the relay can read the connection: verified TLS, or a Local relay on the same host
	used    bool       // a transaction was started, so RSET comes before the next transaction
	noPipe  bool       // PIPELINING is not used on the connection
	noChunk bool       // CHUNKING is not used on the connection
	noParam bool       // parameters of MAIL and RCPT are not used on the connection
	chunked bool       // the relay has accepted a BDAT on the connection
	// strayOctet is set if the relay has refused a BDAT, and may have left the octet of the chunk unread.
	strayOctet bool
	proven     bool // the relay has accepted a message on the connection
	ended      bool // the relay accepts no further message on the connection
	piped      bool // the relay has replied to every command of a flight on the connection
}

// Connect sets up a session on an open connection: greeting, EHLO (HELO for old relays), STARTTLS, AUTH. Connect owns
// nc from then on, and closes nc after an error. The error is always an *Error. When ctx ends, nc is closed at once.
func Connect(ctx context.Context, nc net.Conn, cfg Config) (*Conn, error) {
	c := newConn(nc, cfg)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func newConn(nc net.Conn, cfg Config) *Conn {
	return &Conn{
		cfg: cfg, wire: newWire(nc, &cfg), private: cfg.Local && isLocal(nc.RemoteAddr()),
		noPipe:  cfg.NoPipelining || !cfg.Abilities.Has(Pipelining),
		noChunk: cfg.NoChunking || !cfg.Abilities.Has(Chunking),
		noParam: !cfg.Abilities.Has(Parameters),
	}
}

// start sets up the session and closes the connection after an error.
func (c *Conn) start(ctx context.Context) error {
	done := c.wire.watch(ctx)
	err := c.setUp()
	done()
	if err == nil && c.wire.closed { // ctx ended just after the last step
		err = &Error{Op: attempt.OpGreeting, Err: context.Cause(ctx)}
	}
	if err != nil {
		c.wire.abort()
	}
	return err
}

// setUp runs the steps before the first transaction. setUp returns an *Error, or nil as an error value.
func (c *Conn) setUp() error {
	for _, step := range []func() *Error{c.implicitTLS, c.greeting, c.hello, c.startTLS, c.logIn} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Extension returns the parameters of an extension, and reports whether the relay offers the extension. The case of the
// name is ignored. After STARTTLS, only the extensions offered over TLS count.
func (c *Conn) Extension(name string) (param string, ok bool) { return c.ext.lookup(name) }

// Usable reports whether another transaction can follow. Usable returns false after Close and Quit, after a 421, after
// an Error with Ended, and after any error that leaves the state of the session unknown.
func (c *Conn) Usable() bool { return !c.wire.closed && !c.ended }

// Depth returns the number of transactions that can be in progress on the connection: 1 without PIPELINING, 2 with
// PIPELINING (the end of a transaction and the start of the next share a flight), Config.Window with CHUNKING.
func (c *Conn) Depth() int {
	switch {
	case !c.pipelining():
		return 1
	case !c.chunking():
		return 2
	}
	return c.cfg.window()
}

// pipelining reports whether commands are sent before the replies to earlier commands.
func (c *Conn) pipelining() bool { return !c.noPipe && c.ext.has("PIPELINING") }

// chunking reports whether content is sent with BDAT.
func (c *Conn) chunking() bool { return c.pipelining() && !c.noChunk && c.ext.has("CHUNKING") }

// Close closes the connection without a QUIT.
func (c *Conn) Close() error { return c.wire.close() }

// Quit sends QUIT, waits at most a few seconds for the reply, ignores the reply, and closes the connection. If the
// session is not usable, Quit only closes the connection.
func (c *Conn) Quit() error {
	if c.wire.closed {
		return c.wire.close()
	}
	_, _ = c.wire.ask(opQuit, []int{2}, "QUIT")
	if !c.wire.closed && c.wire.nc != c.wire.raw {
		_ = c.wire.nc.Close() // sends the TLS close alert
	}
	return c.wire.close()
}

// greeting reads the greeting of the relay.
func (c *Conn) greeting() *Error {
	_, err := c.wire.expect(attempt.OpGreeting, 2)
	if err == nil && c.cfg.Welcomed != nil {
		c.cfg.Welcomed()
	}
	return err
}

// hello sends EHLO or LHLO and records the extensions. Old relays, and some firewalls, accept only HELO.
func (c *Conn) hello() *Error {
	if err := CheckLocalName(c.cfg.LocalName); err != nil {
		return &Error{Op: attempt.OpEHLO, Err: err}
	}
	c.ext, c.last = nil, nil
	first, greet := true, "EHLO "
	if c.cfg.LMTP {
		greet = "LHLO "
	}
	_, err := c.wire.askLines(attempt.OpEHLO, []int{2}, func(line string) {
		switch ext := newExtension(line); {
		case first:
			first = false
		case c.noParam && ext.hasParameters():
			c.last = append(c.last, ext)
		default:
			c.ext = append(c.ext, ext)
		}
	}, greet, c.cfg.LocalName)
	if err == nil || c.cfg.LMTP {
		return err
	}
	c.ext, c.last = nil, nil
	switch err.Reply.Code {
	case 500, 501, 502, 503, 504, 550, 555:
		_, err = c.wire.ask(attempt.OpEHLO, []int{2}, "HELO ", c.cfg.LocalName)
	}
	return err
}

// logIn runs AUTH (RFC 4954) if configured. After an error the connection is closed: no mail is sent without a login.
func (c *Conn) logIn() *Error {
	if c.cfg.Auth == nil {
		return nil
	}
	ok := c.ext.has("AUTH")
	switch {
	case !c.private:
		return authError(ErrNotPrivate)
	case !ok:
		return authError(ErrNoAuth)
	}
	l := login{wire: &c.wire, auth: c.cfg.Auth, logins: c.cfg.Logins}
	err := l.run(AuthOffer{Mechanisms: c.ext.all("AUTH"), TLS: c.tlsState()})
	c.mech = l.mech
	return err
}

// tlsState returns the state of TLS, or nil without TLS.
func (c *Conn) tlsState() *tls.ConnectionState {
	secure, ok := c.wire.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	state := secure.ConnectionState()
	return &state
}

// isLocal reports whether an address is on the same host.
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
