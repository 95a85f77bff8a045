package realpeers

import (
	"bytes"
	"io"
	"log"
	"net"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/matryer/is"
)

// startMailbox starts an SMTP server in this process, to which a mail server relays its mail. It returns the port.
func startMailbox(t *testing.T, box *mailbox) (port string) {
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &handOn{box: box}, nil
	}))
	server.Domain = "box.example.test"
	server.EnableSMTPUTF8 = true
	server.MaxLineLength = 0
	server.ErrorLog = log.New(io.Discard, "", 0)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	_, port, err = net.SplitHostPort(l.Addr().String())
	is.NoErr(err)
	return port
}

// A handOn is a session with a mail server of this host, which has added header fields.
type handOn struct {
	box  *mailbox
	from string
	to   []string
}

func (s *handOn) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *handOn) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *handOn) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	at := max(0, bytes.Index(text, []byte(mark)))
	for _, to := range s.to {
		s.box.add(delivery{from: s.from, to: to, trace: string(text[:at]), data: text[at:]})
	}
	return nil
}

func (s *handOn) Reset() { s.from, s.to = "", nil }

func (s *handOn) Logout() error { return nil }
