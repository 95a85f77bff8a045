package realpeers

import (
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/matryer/is"
)

// startGoSMTP starts two go-smtp servers in this process: for users who are logged in over TLS, and for every client.
func startGoSMTP(t *testing.T, c certs) peer {
	var box mailbox
	return peer{
		addr: serveGoSMTP(t, c, &box, false), plain: serveGoSMTP(t, c, &box, true), offers: everything,
		copies: func(*testing.T) []delivery { return box.all() },
	}
}

// serveGoSMTP starts a server and returns its address. With open, clients need not log in.
func serveGoSMTP(t *testing.T, c certs, box *mailbox, open bool) string {
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	server := smtp.NewServer(smtp.BackendFunc(func(conn *smtp.Conn) (smtp.Session, error) {
		return &session{box: box, conn: conn, logged: open}, nil
	}))
	server.Domain = "peer.example.test"
	server.TLSConfig = c.server
	server.EnableSMTPUTF8 = true
	server.EnableDSN = true
	server.MaxLineLength = 0                     // the limit would count for lines of the content, too
	server.ErrorLog = log.New(io.Discard, "", 0) // the server logs connections that end after QUIT
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// A mailbox keeps the messages of sessions.
type mailbox struct {
	mu  sync.Mutex
	got []delivery
}

func (b *mailbox) add(d ...delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, d...)
}

func (b *mailbox) all() []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// A session accepts mail over TLS from a user who is logged in.
type session struct {
	box    *mailbox
	conn   *smtp.Conn
	logged bool
	from   string
	to     []string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, secret string) error {
		_, secure := s.conn.TLSConnectionState()
		s.logged = secure && name == user && secret == password
		if !s.logged {
			return errors.New("who?")
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.logged {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, to := range s.to {
		s.box.add(delivery{from: s.from, to: to, data: data})
	}
	return nil
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }
