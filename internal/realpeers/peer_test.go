package realpeers

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// The login for peers: they accept mail from this user only.
const (
	user     = "ann"
	password = "s3cret, with a space"
)

// A peer is a running mail server.
type peer struct {
	addr   string                        // for users who are logged in over TLS
	plain  string                        // for every client on this host, without TLS and login
	offers []string                      // SMTP extensions at addr
	folds  bool                          // the peer rewrites address fields
	copies func(t *testing.T) []delivery // waits until the peer has delivered all mail, and returns it
}

// everything is the list of the extensions of a modern server.
var everything = []string{"PIPELINING", "CHUNKING", "AUTH", "8BITMIME", "SMTPUTF8"}

// A delivery is one message that a peer has delivered to one recipient.
type delivery struct {
	from, to string
	trace    string // fields that the peer has added
	data     []byte // with CRLF line ends
}

func TestPeersDeliverEveryByteOnce(t *testing.T) {
	peers := []struct {
		name  string
		start func(t *testing.T, certs certs) peer
	}{
		{"go-smtp", startGoSMTP},
		{"Exim", startExim},
		{"Postfix", startPostfix},
		{"OpenSMTPD", startOpenSMTPD},
		{"OpenSMTPD 7", startOpenSMTPD7},
		{"Sendmail", startSendmail},
	}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			is := is.New(t)
			c := newCerts(t)
			server := p.start(t, c)
			var mails []mail
			count := chunked + dotted + plain
			if server.addr == "" {
				count = plain
			}
			for n := range count {
				mails = append(mails, newMail(n))
			}
			sendAll(t, server, mails, c)
			got := server.copies(t)
			if server.folds {
				unfoldAll(mails, got)
			}
			problems := compare(mails, got)
			for _, problem := range problems[:min(len(problems), 10)] {
				t.Log(problem)
			}
			is.Equal(len(problems), 0) // every message arrived once and unchanged for each recipient
		})
	}
}

// sendAll sends mails to a peer: with BDAT, with DATA, and without TLS and login.
func sendAll(t *testing.T, server peer, mails []mail, c certs) {
	noTLS := spoolgore.SMTP{TLS: "none"}
	if server.addr == "" {
		send(t, mails, server.plain, c, noTLS)
		return
	}
	offered(t, server, c)
	login := spoolgore.SMTP{TLS: "starttls", User: user, Password: password}
	send(t, mails[:chunked], server.addr, c, login)
	login.NoChunking = true
	send(t, mails[chunked:chunked+dotted], server.addr, c, login)
	send(t, mails[chunked+dotted:], server.plain, c, noTLS)
}

// offered fails the test if the peer lacks an extension that the test needs.
func offered(t *testing.T, server peer, c certs) {
	is := is.New(t)
	client, err := smtp.Dial(server.addr)
	is.NoErr(err)
	defer client.Close()
	is.NoErr(client.StartTLS(c.client))
	var list []string
	for _, name := range strings.Fields("PIPELINING CHUNKING AUTH SIZE 8BITMIME SMTPUTF8 DSN ENHANCEDSTATUSCODES BINARYMIME PRDR") {
		if ok, params := client.Extension(name); ok {
			list = append(list, strings.TrimSpace(name+" "+params))
		}
	}
	t.Logf("offered over TLS: %s", strings.Join(list, ", "))
	for _, name := range server.offers {
		ok, _ := client.Extension(name)
		is.True(ok) // the extension is offered
	}
	is.NoErr(client.Quit())
}

// send runs a spool with mails until it is empty.
func send(t *testing.T, mails []mail, addr string, c certs, settings spoolgore.SMTP) {
	sendOver(t, new(net.Dialer).DialContext, mails, addr, c, settings)
}

// sendOver is send with another dial function.
func sendOver(t *testing.T, dial dialFunc, mails []mail, addr string, c certs, settings spoolgore.SMTP) {
	is := is.New(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	line := meter{below: dial}
	var sent, other int
	s := spoolgore.New(dir, spoolgore.Options{
		SMTPAddr:  addr,
		LocalName: "client.example.org",
		TLSConfig: c.client,
		SMTP:      settings,
		Dial:      line.dial,
		Logger:    slog.New(slog.DiscardHandler),
		OnEvent: func(e spoolgore.Event) {
			switch e.Kind {
			case spoolgore.EventQueued:
			case spoolgore.EventSent:
				sent++
			default:
				other++
				if other <= 10 {
					t.Logf("%s %s to %s: %v", e.Kind, e.File, e.To, e.Err)
				}
			}
		},
	})
	recipients := fill(t, s, dir, mails)
	begin := time.Now()
	is.NoErr(s.Drain(ctx)) // the drain ends without an error
	t.Logf("%d messages in %v over %d connections; %d reads and %d writes per 1,000 messages", len(mails),
		time.Since(begin).Round(time.Millisecond), line.conns.Load(), line.reads.Load()*1000/int64(len(mails)),
		line.writes.Load()*1000/int64(len(mails)))
	is.Equal(other, 0)           // no recipient was deferred or failed
	is.Equal(sent, recipients)   // every recipient was accepted
	is.Equal(len(s.Status()), 0) // and every message has left the spool
}

// fill puts mails into the spool, some of them as files, and returns the number of their recipients.
func fill(t *testing.T, s *spoolgore.Spool, dir string, mails []mail) (recipients int) {
	is := is.New(t)
	old := time.Now().Add(-time.Hour) // the files have settled
	for n, m := range mails {
		recipients += len(m.to)
		if m.put {
			_, err := s.Put(t.Context(), spoolgore.Envelope{From: m.from, To: m.to}, bytes.NewReader(m.raw))
			is.NoErr(err)
			continue
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.eml", n))
		is.NoErr(os.WriteFile(path, m.raw, 0o600))
		is.NoErr(os.Chtimes(path, old, old))
	}
	return recipients
}

// compare returns the problems of the deliveries.
func compare(mails []mail, got []delivery) []string {
	type key struct {
		n  int
		to string
	}
	var problems []string
	times := map[key]int{}
	for _, d := range got {
		n := -1
		fmt.Sscanf(string(d.data), mark+"%d", &n)
		if n < 0 || n >= len(mails) || !slices.Contains(mails[n].to, d.to) {
			problems = append(problems, fmt.Sprintf("nobody sent this to %s: %.200q", d.to, d.trace+string(d.data)))
			continue
		}
		times[key{n, d.to}]++
		if d.from != mails[n].from {
			problems = append(problems, fmt.Sprintf("message %d is from %q, not %q", n, d.from, mails[n].from))
		}
		if !bytes.Equal(d.data, mails[n].want) {
			problems = append(problems, fmt.Sprintf("message %d to %s: %s", n, d.to, difference(d.data, mails[n].want)))
		}
	}
	for n, m := range mails {
		for _, to := range m.to {
			if k := times[key{n, to}]; k != 1 {
				problems = append(problems, fmt.Sprintf("message %d has come to %s %d times", n, to, k))
			}
		}
	}
	return problems
}

// difference returns a text about the first difference between got and want.
func difference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-20)
	return fmt.Sprintf("%d octets, not %d; from %d on %.80q, not %.80q", len(got), len(want), from, got[from:], want[from:])
}

// A meter counts connections, reads and writes.
type meter struct {
	below                dialFunc
	conns, reads, writes atomic.Int64
}

// A dialFunc opens a connection to an address.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (m *meter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := m.below(ctx, network, addr)
	m.conns.Add(1)
	return &metered{conn, m}, err
}

type metered struct {
	net.Conn
	meter *meter
}

func (c *metered) Read(p []byte) (int, error)  { c.meter.reads.Add(1); return c.Conn.Read(p) }
func (c *metered) Write(p []byte) (int, error) { c.meter.writes.Add(1); return c.Conn.Write(p) }
