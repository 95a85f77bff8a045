package smtpclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A scriptedConn is a connection to a relay that sends the replies of the fuzzer, whatever it gets, and then closes the
// connection.
type scriptedConn struct {
	remote net.Addr
	mu     sync.Mutex
	says   []string // one element for each read
	sent   bytes.Buffer
	closed bool
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.says) > 0 && c.says[0] == "" {
		c.says = c.says[1:]
	}
	if c.closed || len(c.says) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(p, c.says[0])
	c.says[0] = c.says[0][n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.sent.Write(p)
}

func (c *scriptedConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *scriptedConn) LocalAddr() net.Addr              { return c.remote }
func (c *scriptedConn) RemoteAddr() net.Addr             { return c.remote }
func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// converse sends three messages with two recipients each over conn, and returns the octets sent.
func converse(t *testing.T, conn *scriptedConn, cfg Config) (sent string) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	client, err := Connect(ctx, conn, cfg)
	if err == nil {
		messages := 0
		next := func() *Transaction {
			if messages++; messages > 3 {
				return nil
			}
			content := strings.NewReader("A: b\r\n\r\nc\r\n")
			return &Transaction{From: "a@x", To: []string{"b@y", "c@y"}, Size: 10, Content: content}
		}
		client.Serve(ctx, next(), next, func(_ *Transaction, results []Result) {
			if len(results) != 2 {
				t.Errorf("%d results for 2 recipients", len(results))
			}
		})
		_ = client.Quit()
	}
	if ctx.Err() != nil {
		t.Error("the session did not end within a minute, though the relay hung up")
	}
	return conn.sent.String()
}

// For any replies: the session ends, each recipient has a result, no login is sent without TLS to a relay that is not
// local, and no mail is sent without the configured login.
func FuzzSession(f *testing.F) {
	const hello = "220 r\r\n|250-r\r\n"
	f.Add(hello+"250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 5\r\n|250 ok\r\n250 ok\r\n250 ok\r\n", false, false)
	f.Add(hello+"250-AUTH PLAIN LOGIN CRAM-MD5\r\n250 STARTTLS\r\n|220 go\r\n|235 x\r\n", true, false)
	f.Add(hello+"250 AUTH SCRAM-SHA-256\r\n|334 cj0=\r\n|235 x\r\n|250 ok\r\n250 ok\r\n354 x\r\n421 z\r\n", true, true)
	f.Add(hello+"250 AUTH PLAIN\r\n|235 x\r\n|250 ok\r\n250 ok\r\n250 ok\r\n354 x\r\n250 ok\r\n", true, true)
	f.Add(hello+"250-DSN\r\n250 8BITMIME\r\n|250 ok\r\n|552 no\r\n|452 no\r\n|354 go\r\n|250 ok\r\n", false, true)
	f.Add("200 \r\n|250-a\r\n250 AUTH PLAIN\r/a\xf5\n|200 00\n", true, true) // a login with another code than 235
	const password = "S3CRETPW"
	f.Fuzz(func(t *testing.T, script string, login, local bool) {
		if len(script) > 1<<16 {
			return
		}
		ip := net.IPv4(192, 0, 2, 1)
		if local {
			ip = net.IPv4(127, 0, 0, 1)
		}
		cfg := Config{LocalName: "me.example", Host: "r.example", Local: local}
		if login {
			secret := func(context.Context, bool) (string, error) { return password, nil }
			cfg.Auth = Credentials{User: "user", Password: secret}.Auth()
		}
		conn := &scriptedConn{says: strings.Split(script, "|"), remote: &net.TCPAddr{IP: ip, Port: 25}}
		sent := converse(t, conn, cfg)
		encoded := base64.StdEncoding.EncodeToString([]byte(password))
		shown := strings.Contains(sent, password) || strings.Contains(sent, encoded[:8])
		if !local && (shown || strings.Contains(sent, "AUTH ")) {
			t.Errorf("login in the clear: %q", sent)
		}
		before, _, mail := strings.Cut(sent, "MAIL FROM")
		// Greeting, EHLO and AUTH each need a reply of 2yz. The other digits do not matter (RFC 5321, section 4.3.2).
		if login && mail && (!strings.Contains(before, "AUTH ") || strings.Count(script, "2") < 3) {
			t.Errorf("mail without login: %q", sent)
		}
	})
}
