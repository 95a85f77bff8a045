package smtpclient

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/matryer/is"
)

// A mailbox is the backend of a real server. It keeps the messages.
type mailbox struct {
	mu    sync.Mutex
	mails []string // "user from to to: content"
}

// A session of the server.
type visit struct {
	box  *mailbox
	user string
	mail string
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &visit{box: b}, nil }

func (v *visit) AuthMechanisms() []string { return []string{sasl.Plain} }

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != secret {
			return errors.New("wrong password")
		}
		v.user = user
		return nil
	}), nil
}

func (v *visit) Mail(from string, opts *smtp.MailOptions) error {
	if opts.Size == 0 {
		return errors.New("no size")
	}
	v.mail = strings.TrimSpace(v.user + " " + from)
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	v.mail += " " + to
	return nil
}

func (v *visit) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	v.box.mu.Lock()
	defer v.box.mu.Unlock()
	v.box.mails = append(v.box.mails, v.mail+": "+string(content))
	return nil
}

func (v *visit) Reset() { v.mail = "" }

func (v *visit) Logout() error { return nil }

// Against a server by other authors, over TCP, with STARTTLS and AUTH.
func TestWithARealServer(t *testing.T) {
	is := is.New(t)
	cfg, pool := serverTLS(t, "127.0.0.1")
	box := &mailbox{}
	server := smtp.NewServer(box)
	server.MaxLineLength, server.TLSConfig = 0, cfg
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err) // listening
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	is.NoErr(err) // connected
	c, err := Connect(t.Context(), nc, Config{LocalName: "client.test", Host: "127.0.0.1", TLS: TLSStartTLS,
		TLSConfig: &tls.Config{RootCAs: pool}, Auth: Plain("ann", secret)})
	is.NoErr(err) // set up, with TLS and AUTH

	long := "Subject: long\r\n\r\n" + strings.Repeat("x", 100_000) + "\r\n" + strings.Repeat(".\r\n..\r\n\r\n", 20_000)
	var want []string
	for _, content := range []string{hi, long, ".\r\n", hi} {
		results := c.Transact(t.Context(), &Transaction{From: "a@x.test", To: []string{"b@x.test", "nobody@x.test", "c@x.test"},
			Size: int64(len(content)), Content: bytes.NewReader([]byte(content))})
		is.Equal(results[0].Err, nil)                                    // accepted
		is.Equal(results[1].Err.Error(), "rcpt: 550 5.1.1 no such user") // refused
		is.Equal(results[2].Err, nil)                                    // accepted
		want = append(want, "ann a@x.test b@x.test c@x.test: "+content)
	}
	is.NoErr(c.Quit())        // QUIT succeeds
	is.NoErr(server.Close())  // the server is closed
	is.NoErr(<-done)          // and has ended
	is.Equal(box.mails, want) // each accepted message has arrived unchanged
}

// A thousand messages in each mode over several connections: no message is lost, doubled or changed.
func TestThousandMessages(t *testing.T) {
	const n, conns = 1000, 4
	for name, cfg := range map[string]Config{
		"chunking": {}, "pipelining": {NoChunking: true}, "lock-step": {NoPipelining: true}, "chunking in a window of 50": {Window: 50},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			box := &mailbox{}
			server := smtp.NewServer(box)
			server.MaxLineLength = 0
			l, err := net.Listen("tcp", "127.0.0.1:0")
			is.NoErr(err) // listening
			stopped := make(chan error, 1)
			go func() { stopped <- server.Serve(l) }()
			q := &queue{left: n}
			cfg.LocalName = "client.test"
			var wg sync.WaitGroup
			for range conns {
				nc, err := net.Dial("tcp", l.Addr().String())
				is.NoErr(err) // connected
				c, err := Connect(t.Context(), nc, cfg)
				is.NoErr(err) // set up
				wg.Go(func() {
					c.Serve(t.Context(), q.next(), q.next, q.done)
					_ = c.Quit()
				})
			}
			wg.Wait()
			is.Equal(q.accepted, n)     // all accepted
			is.NoErr(server.Close())    // the server is closed
			is.NoErr(<-stopped)         // and has ended
			is.Equal(len(box.mails), n) // no message is lost or doubled
			got := map[string]bool{}
			for _, mail := range box.mails {
				got[mail] = true
			}
			for i := range n {
				is.True(got["a@x.test b@x.test: "+numbered(i+1)]) // each message is unchanged
			}
		})
	}
}

// A queue gives numbered messages to several connections.
type queue struct {
	mu             sync.Mutex
	left, accepted int
}

func (q *queue) next() *Transaction {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.left == 0 {
		return nil
	}
	content := numbered(q.left)
	q.left--
	return &Transaction{From: "a@x.test", To: []string{"b@x.test"}, Size: int64(len(content)), Content: strings.NewReader(content)}
}

func (q *queue) done(_ *Transaction, results []Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if results[0].Err == nil {
		q.accepted++
	}
}

// numbered returns a message with a size that depends on its number. One in a hundred is larger than a flight.
func numbered(i int) string {
	size := i % 37
	if i%100 == 0 {
		size = 4000
	}
	return "Subject: " + strconv.Itoa(i) + "\r\n\r\n" + strings.Repeat(".dots and more text\r\n", size) + ".\r\n"
}
