// Package smarthost offers messages to one relay: it connects, and speaks SMTP over the connection.
package smarthost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Relay is one relay and how it is spoken to. It may be used by several goroutines.
type Relay struct {
	Addr   string // host:port
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	Config smtpclient.Config // with an empty LocalName the host's name or address is given
}

// New checks addr, "host:port", and sets what follows from it: the name that the relay's certificate must have, and
// TLS from the first byte on port 465 (RFC 8314, section 3.3).
func New(addr string, dial func(ctx context.Context, network, addr string) (net.Conn, error), config smtpclient.Config) (*Relay, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("relay %q is not host:port", addr)
	}
	config.Host = host
	if port == "465" {
		config.TLS = smtpclient.TLSImplicit
	}
	return &Relay{Addr: addr, Dial: dial, Config: config}, nil
}

// OpDial is the step of an error before the relay could be heard.
const OpDial smtpclient.Op = "dial"

// Deliver offers t in a session of its own and returns a result for each recipient.
func (r *Relay) Deliver(ctx context.Context, t *smtpclient.Transaction) []smtpclient.Result {
	conn, err := r.connect(ctx)
	if err != nil {
		results := make([]smtpclient.Result, len(t.To))
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	defer conn.Quit()
	return conn.Transact(ctx, t)
}

func (r *Relay) connect(ctx context.Context) (*smtpclient.Conn, *smtpclient.Error) {
	nc, err := r.Dial(ctx, "tcp", r.Addr)
	if err != nil {
		return nil, &smtpclient.Error{Op: OpDial, Err: err}
	}
	config := r.Config
	if config.LocalName == "" {
		config.LocalName = greetingName(nc)
	}
	conn, err := smtpclient.Connect(ctx, nc, config)
	if err == nil {
		return conn, nil
	}
	var e *smtpclient.Error
	if !errors.As(err, &e) {
		e = &smtpclient.Error{Op: smtpclient.OpGreeting, Err: err}
	}
	return nil, e
}

// greetingName is the host's name, or its address as a literal where the name has no domain (RFC 5321, section 4.1.3):
// relays refuse "localhost".
func greetingName(nc net.Conn) string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return greetingNameFor(name, nc.LocalAddr())
}

func greetingNameFor(hostname string, local net.Addr) string {
	if strings.Contains(hostname, ".") {
		return hostname
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return "localhost"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// Blame says whose fault it is that a transaction did not serve a recipient.
type Blame int

// Whom to blame.
const (
	Nobody    Blame = iota // not offered in this transaction, which took others
	TheRelay               // it cannot be used
	Message                // it was not taken
	Recipient              // it was not taken
)

// Judge says whose fault e is, and whether another try is pointless.
//
// A connection that is lost before MAIL was answered is the relay's trouble. Lost later, it counts against the message:
// else one message that makes a relay hang up would keep the relay at rest, and hold up all the others.
func Judge(e *smtpclient.Error) (whom Blame, permanent bool) {
	code := e.Reply.Code
	switch e.Op {
	case OpDial, smtpclient.OpGreeting, smtpclient.OpEHLO, smtpclient.OpTLS, smtpclient.OpAuth:
		return TheRelay, false
	case smtpclient.OpSize, smtpclient.OpUTF8:
		return Message, true
	}
	answered, unsendable := code != 0, errors.Is(e.Err, smtpclient.ErrAddress)
	switch {
	case e.NotTried:
		return Nobody, false
	case code == 421, loginWanted(code):
		return TheRelay, false
	case e.Op == smtpclient.OpMail && !answered && !unsendable:
		return TheRelay, false
	case e.Op == smtpclient.OpRcpt && (answered || unsendable):
		return Recipient, code/100 == 5 || unsendable
	}
	return Message, code/100 == 5 || unsendable
}

// loginWanted reports whether the code asks for another login or for TLS (RFC 4954, section 6; RFC 3207, section 4). That
// is about the settings, whatever command it answers, and no reason to give up mail.
func loginWanted(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}
