package cli

import (
	"io"
	"log"
	"net"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// Recipients that the relay of the demo does not accept at once.
const (
	busyRcpt    = "later@example.com" // not at first
	unknownRcpt = "nobdy@example.com" // never
)

// demoRelay is a real SMTP server on loopback that keeps the accepted mail.
type demoRelay struct {
	addr   string
	server *smtp.Server
	served sync.WaitGroup

	mu    sync.Mutex
	tries int  // for busyRcpt
	free  bool // busyRcpt is taken now
	mails []demoMail
}

type demoMail struct {
	from string
	to   []string
	data []byte
}

func startDemoRelay() (*demoRelay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &demoRelay{addr: l.Addr().String()}
	r.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &demoSession{relay: r},
			nil
	}))
	r.server.Domain = "relay.example.com"
	r.server.ErrorLog = log.New(io.Discard, "", 0)
	r.served.Go(func() { _ = r.server.Serve(l) }) // the error is that of close, at the latest
	return r, nil
}

func (r *demoRelay) close() {
	_ = r.server.Close()
	r.served.Wait()
}

// mailFor returns the last accepted message for a recipient.
func (r *demoRelay) mailFor(to string) (mail demoMail, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.mails {
		if slices.Contains(m.to, to) {
			mail, ok = m, true
		}
	}
	return mail, ok
}

// release has busyRcpt taken from now on.
func (r *demoRelay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = true
}

// attempts returns the number of attempts for busyRcpt.
func (r *demoRelay) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries + 1
}

// demoSession is one connection to a demoRelay.
type demoSession struct {
	relay *demoRelay
	mail  demoMail
}

func (s *demoSession) Reset()        { s.mail = demoMail{} }
func (s *demoSession) Logout() error { return nil }

func (s *demoSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail = demoMail{from: from}
	return nil
}

func (s *demoSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	switch {
	case to == unknownRcpt:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user here"}
	case to == busyRcpt && !s.relay.free:
		s.relay.tries++
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox busy, try again"}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}

func (s *demoSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mail.data = data
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.mails = append(s.relay.mails, s.mail)
	return nil
}
