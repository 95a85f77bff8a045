package smtplisten

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/crypto/bcrypt"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/smtptest"
	"github.com/unbit/spoolgore/internal/stdiosmtp"
)

// A box keeps the messages that a Listener accepts.
type box struct {
	mu    sync.Mutex
	taken []string
	uids  []string
	login func(user, password string) error
}

func (b *box) server(uid string) (*stdiosmtp.Server, error) {
	b.mu.Lock()
	b.uids = append(b.uids, uid)
	b.mu.Unlock()
	return &stdiosmtp.Server{
		Name: "spool.example", Login: b.login,
		Sender:     func(path string) (string, error) { return path, nil },
		Recipients: func(path string) ([]string, error) { return []string{path}, nil },
		Accept: func(env message.Envelope, content io.Reader) error {
			text, err := io.ReadAll(content)
			if err != nil {
				return err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.taken = append(b.taken, fmt.Sprintf("%s %s %s", env.From, env.To, text))
			return nil
		},
	}, nil
}

func (b *box) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.taken...)
}

// listen starts a Listener and returns its address.
func listen(t *testing.T, b *box) string { return listenTLS(t, b, nil) }

// listenTLS is listen with TLS, unless certificate is nil.
func listenTLS(t *testing.T, b *box, certificate *tls.Certificate) string {
	t.Helper()
	l, err := Listen("0", certificate, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- (&Listener{New: b.server, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

const text = "Subject: hello\r\n\r\nHello!\r\n"

func TestMessageIsTaken(t *testing.T) {
	is := is.New(t)
	b := &box{}
	addr := listen(t, b)
	is.NoErr(smtp.SendMail(addr, nil, "f@x.org", []string{"a@x.org", "b@x.org"}, []byte(text)))
	is.Equal(b.messages(), []string{"f@x.org [a@x.org b@x.org] " + text})
	if runtime.GOOS == "linux" {
		is.Equal(b.uids, []string{strconv.Itoa(os.Getuid())})
	}
}

// exchange sends text and returns everything the server sends until it closes the connection.
func exchange(t *testing.T, addr, text string) string {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(nc) // the server may reset the connection if it has not read everything
	return string(answer)
}

// A browser can send SMTP commands within an HTTP request for a web page. The session ends at the first line.
func TestFirstLineMustBeSMTP(t *testing.T) {
	is := is.New(t)
	b := &box{}
	addr := listen(t, b)
	const session = "EHLO x\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<a@x.org>\r\nDATA\r\n" + text + ".\r\nQUIT\r\n"
	for _, first := range []string{
		"POST / HTTP/1.1\r\nHost: 127.0.0.1:25\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n", "\x16\x03\x01\x02", "EHLOX\r\n",
		"MAIL FROM:<f@x.org>\r\n", "Content-Length: 1\r\n", " EHLO x\r\n", "EH\r\n",
	} {
		answer := exchange(t, addr, first+session)
		is.True(!strings.Contains(answer, "250")) // no command after the first line was executed
	}
	is.Equal(b.messages(), nil)
	answer := exchange(t, addr, "ehlo x\r\n"+session)
	is.True(strings.Contains(answer, "221"))
	is.Equal(len(b.messages()), 1)
}

// The first line may arrive in single octets.
func TestFirstLineInPieces(t *testing.T) {
	is := is.New(t)
	c := &conn{Conn: &piecewise{Reader: strings.NewReader("EHLO x\r\nQUIT\r\n")}}
	got, err := io.ReadAll(readerOf(c))
	is.NoErr(err)
	is.Equal(string(got), "EHLO x\r\nQUIT\r\n")
	c = &conn{Conn: &piecewise{Reader: strings.NewReader("EHLP x\r\n")}}
	_, err = io.ReadAll(readerOf(c))
	is.True(errors.Is(err, errNotSMTP))
}

func readerOf(c *conn) io.Reader { return struct{ io.Reader }{c} }

// piecewise is a connection on which each Read returns one octet.
type piecewise struct {
	net.Conn
	io.Reader
}

func (p *piecewise) Read(b []byte) (int, error)  { return p.Reader.Read(b[:1]) }
func (p *piecewise) Write(b []byte) (int, error) { return len(b), nil }
func (p *piecewise) SetDeadline(time.Time) error { return nil }

func TestLoginIsRequired(t *testing.T) {
	is := is.New(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	is.NoErr(err)
	file := filepath.Join(t.TempDir(), "users")
	is.NoErr(os.WriteFile(file, []byte("# users\n\napp:"+string(hash)+"\n"), 0o600))
	users, err := ReadUsers(file)
	is.NoErr(err)
	b := &box{login: users.Login}
	addr := listen(t, b)
	err = smtp.SendMail(addr, nil, "f@x.org", []string{"a@x.org"}, []byte(text))
	is.True(err != nil && strings.Contains(err.Error(), "5.7.0"))
	is.NoErr(smtp.SendMail(addr, smtp.PlainAuth("", "app", "geheim", "127.0.0.1"), "f@x.org", []string{"a@x.org"}, []byte(text)))
	is.Equal(len(b.messages()), 1)
	for _, login := range [][2]string{{"app", "wrong"}, {"other", "geheim"}} {
		err := smtp.SendMail(addr, smtp.PlainAuth("", login[0], login[1], "127.0.0.1"), "f@x.org", []string{"a@x.org"}, []byte(text))
		is.True(err != nil && strings.Contains(err.Error(), "5.7.8"))
	}
	is.Equal(len(b.messages()), 1)
}

func TestRefusedLoginsEndTheSession(t *testing.T) {
	is := is.New(t)
	b := &box{login: func(string, string) error { return errLogin }}
	addr := listen(t, b)
	const plain = "AUTH PLAIN AGFwcAB3cm9uZw==\r\n" // \0app\0wrong
	answer := exchange(t, addr, "EHLO x\r\n"+strings.Repeat(plain, maxLogins+3))
	is.True(strings.Contains(answer, "421 4.7.0"))
	is.True(strings.Count(answer, "535") <= maxLogins)
}

func TestUsersFile(t *testing.T) {
	is := is.New(t)
	for _, bad := range []string{"", "# nobody\n", "app", "app:geheim", ":$2y$10$x", "a:{SHA}x"} {
		_, err := parseUsers(strings.NewReader(bad))
		is.True(err != nil)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	is.NoErr(err)
	line := "app:" + string(hash) + "\n"
	_, err = parseUsers(strings.NewReader(line + line))
	is.True(err != nil)
	users, err := parseUsers(strings.NewReader(line))
	is.NoErr(err)
	is.NoErr(users.Login("app", "x"))
	is.True(users.Login("app", "") != nil)
	is.True(users.Login("", "x") != nil)
}

func TestConnectionsAreLimited(t *testing.T) {
	is := is.New(t)
	addr := listen(t, &box{})
	var open []net.Conn
	defer func() {
		for _, nc := range open {
			nc.Close()
		}
	}()
	for range maxPerClient {
		nc, err := net.Dial("tcp", addr)
		is.NoErr(err)
		open = append(open, nc)
		greeting, err := bufio.NewReader(nc).ReadString('\n')
		is.NoErr(err)
		is.True(strings.HasPrefix(greeting, "220"))
	}
	is.True(strings.HasPrefix(exchange(t, addr, ""), "421 4.3.2"))
	open[0].Close()
	open = open[1:]
	// until the server has noticed that a connection was closed
	for !strings.HasPrefix(exchange(t, addr, "QUIT\r\n"), "220") {
	}
}

// A silent client with TLS beyond the limits is disconnected: each connection takes a descriptor, and without
// descriptors the daemon sends no mail.
func TestSilentConnectionBeyondTheLimitIsClosed(t *testing.T) {
	is := is.New(t)
	certificate, _ := smtptest.Certificate(t, "127.0.0.1")
	addr := listenTLS(t, &box{}, &certificate)
	var open []net.Conn
	defer func() {
		for _, nc := range open {
			nc.Close()
		}
	}()
	const refused = 20
	closed := make(chan error, maxPerClient+refused)
	for range cap(closed) {
		nc, err := net.Dial("tcp", addr)
		is.NoErr(err)
		open = append(open, nc)
		is.NoErr(nc.SetReadDeadline(time.Now().Add(greetingLimit / 2)))
		go func() {
			_, err := nc.Read(make([]byte, 1))
			closed <- err
		}()
	}
	for range refused {
		err := <-closed
		is.True(!errors.Is(err, os.ErrDeadlineExceeded)) // the server has closed the connection
	}
}

// Serve ends without waiting for clients.
func TestServeEndsAtOnce(t *testing.T) {
	is := is.New(t)
	l, err := Listen("127.0.0.1:0", nil, false)
	is.NoErr(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	b := &box{}
	go func() { ended <- (&Listener{New: b.server, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	is.NoErr(err)
	defer nc.Close()
	_, err = io.WriteString(nc, "EHLO x\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<a@x.org>\r\nDATA\r\nSubject: cut")
	is.NoErr(err)
	lines := bufio.NewScanner(nc)
	for lines.Scan() && !bytes.HasPrefix(lines.Bytes(), []byte("354")) {
	}
	stop()
	is.NoErr(<-ended)
	is.Equal(b.messages(), nil) // an incomplete message is not accepted
}

func TestAddressForOtherHostsNeedsLoginAndTLS(t *testing.T) {
	is := is.New(t)
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		_, err := Listen(addr, nil, true)
		is.True(err != nil)
	}
}
