//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"
	"golang.org/x/crypto/bcrypt"

	"github.com/unbit/spoolgore/internal/smtptest"
)

const (
	hostileHello = "EHLO c.example\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<good@x.org>\r\nDATA\r\n"
	hostileBody  = "From: f@x.org\r\nSubject: meant\r\n\r\nmeant\r\n"
	hostileInner = "MAIL FROM:<evil@x.org>\r\nRCPT TO:<victim@unrelated.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
)

// hostile returns the octets of one session of an attacker.
func hostile(r *rand.Rand) string {
	ends := []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n.\n", "\r\n\x00.\r\n", "\r\n.\r\r\n"}
	junk := make([]byte, 1+r.IntN(200))
	for i := range junk {
		junk[i] = byte(r.UintN(256))
	}
	switch r.IntN(13) {
	case 0, 1: // smuggling: a sequence that another server may take for the end of the data, and a second message
		return hostileHello + hostileBody + ends[r.IntN(len(ends))] + hostileInner + ".\r\nQUIT\r\n"
	case 2: // an endless command
		return "EHLO " + strings.Repeat("x", 1<<r.IntN(20))
	case 3: // an endless line in a message, without an end of the data
		return hostileHello + hostileBody + strings.Repeat("y", 1<<r.IntN(20))
	case 4: // an HTTP request with an SMTP session in its body
		return "POST / HTTP/1.1\r\nHost: a\r\n\r\n" + hostileHello + hostileInner
	case 5: // commands within a parameter
		return "EHLO c\r\nMAIL FROM:<f@x.org>\rRCPT TO:<victim@unrelated.example>\r\nDATA\r\n.\r\n"
	case 6: // too many recipients, all of them bad
		return "EHLO c\r\nMAIL FROM:<f@x.org>\r\n" + strings.Repeat("RCPT TO:<a@x..org>\r\n", r.IntN(500))
	case 7: // BDAT, which is not offered
		return "EHLO c\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<good@x.org>\r\nBDAT 1000 LAST\r\n" + hostileInner
	case 8: // BDAT with odd sizes
		sizes := []string{"-1", "0", "0 LAST", "99999999999999999999 LAST", "1e3", "0x10 LAST", "5", "", "18446744073709551615"}
		text := "EHLO c\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<victim@unrelated.example>\r\n"
		for range 20 {
			text += "BDAT " + sizes[r.IntN(len(sizes))] + "\r\n" + hostileInner
		}
		return text
	case 9: // logins in one flight, where no login is offered: too many errors for the commands that follow
		word := base64.StdEncoding.EncodeToString([]byte("\x00ann\x00" + strconv.Itoa(r.IntN(1000))))
		return "EHLO c\r\n" + strings.Repeat("AUTH PLAIN "+word+"\r\nAUTH LOGIN\r\nYW5u\r\n*\r\n", 2+r.IntN(200)) + hostileInner
	case 10: // TLS in the middle of a session
		return "EHLO c\r\nSTARTTLS\r\n\x16\x03\x01\x02\x00\x01" + string(junk)
	case 11: // commands that do nothing
		return strings.Repeat("EHLO c\r\nRSET\r\nNOOP\r\nVRFY a\r\nHELP\r\nMAIL FROM:<f@x.org>\r\n", 1+r.IntN(500))
	}
	return "EHLO c\r\n" + string(junk) + hostileInner[:r.IntN(len(hostileInner))]
}

// attack runs one session. It reads the replies, so that the server can go on.
func attack(addr, text string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var read sync.WaitGroup
	read.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	read.Wait()
}

// flood opens more connections than the server admits, and sends an octet at a time on each, in the middle of a
// message. Then it closes all.
func flood(addr string, r *rand.Rand) {
	const connections, octets = 120, 40
	var open []net.Conn
	for range connections {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, hostileHello)
			open = append(open, conn)
		}
	}
	text := hostile(r)
	for i := range min(octets, len(text)) {
		for _, conn := range open {
			_, _ = io.WriteString(conn, text[i:i+1])
		}
		time.Sleep(time.Millisecond) // the pace of a slow client
	}
	for _, conn := range open {
		_ = conn.Close()
	}
}

// crowd opens n connections without a command at the same time, more than the server admits, and closes them.
func crowd(addr string, n int) {
	var open []net.Conn
	for range n {
		if conn, err := net.Dial("tcp", addr); err == nil {
			open = append(open, conn)
		}
	}
	for _, conn := range open {
		_ = conn.Close()
	}
}

// descriptors returns the number of open files of a process; zero: unknown.
func descriptors(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// sockets returns the number of open sockets of a process.
func sockets(pid int) (n int) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// onlyMeant fails the test if the relay has another message than the one of the sessions.
func onlyMeant(t *testing.T, relay *smtptest.Relay) {
	t.Helper()
	is := is.New(t)
	for _, m := range relay.Messages() {
		is.Equal(m.From, "f@x.org")
		is.Equal(m.To, []string{"good@x.org"})                          // no command within a message was executed
		is.True(strings.Contains(string(m.Data), "Subject: meant\r\n")) // the message of a session
		is.True(!m.BareCR && !m.BareLF)
	}
}

// greets reports whether the server greets a new client.
func greets(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	greeting := make([]byte, 3)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "220"
}

// A hostile client of -listen cannot have other mail sent than the messages of its sessions, and the memory of the
// daemon stays bounded. SPOOLGORE_HOSTILE is a duration such as 1h for a longer run. The seed is in the log.
func TestListenWithHostileClients(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	spool := t.TempDir()
	d := start(t, "-smtpaddr", relay.Listen(t), "-listen", "0", "-bounce=false", spool)
	d.logs("SMTP server started", 1)
	addr := listening.FindStringSubmatch(d.log.String())[1]
	length, _ := time.ParseDuration(os.Getenv("SPOOLGORE_HOSTILE"))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	end := time.Now().Add(length)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for i := 0; i < 50 || time.Now().Before(end); i++ {
				attack(addr, hostile(r))
			}
		})
	}
	clients.Go(func() {
		r := rand.New(rand.NewPCG(seed, 99))
		for i := 0; i < 1 || time.Now().Before(end); i++ {
			flood(addr, r)
			crowd(addr, crowded(length))
		}
	})
	files, stop := 0, make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				files = max(files, descriptors(d.cmd.Process.Pid))
			}
		}
	})
	clients.Wait()
	close(stop)
	looks.Wait()
	t.Logf("%d messages, %d files open at the most", len(relay.Messages()), files)
	is.True(files <= mostFiles)
	eventually(t, "the server admits a client", func() bool { return greets(addr) })
	attack(addr, hostileHello+hostileBody+".\r\nQUIT\r\n") // the server still works
	eventually(t, "every message is delivered", func() bool { return len(relay.Messages()) > 0 && names(t, spool) == "" })
	onlyMeant(t, relay)
	const most = 96 << 10 // KiB; with the race detector and 100 sessions of 20 MB each it would be far more
	kib := peakMemory(t, d.cmd.Process.Pid)
	if t.Logf("%d KiB in memory at the most", kib); kib > most {
		t.Errorf("the daemon had %d KiB in memory", kib)
	}
	d.stop()
}

// mostFiles is the limit for open files of the daemon: 100 connections with their messages, the spool and the relay.
const mostFiles = 400

// crowded returns the number of connections of one user at the same time.
func crowded(length time.Duration) int {
	if length > 0 {
		return 3000
	}
	return 300
}

// A hostile client of a server with TLS and logins: half a handshake, logins in one flight, and no data at all.
func TestListenWithHostileClientsOverTLS(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	dir := t.TempDir()
	cert, key := certificateFiles(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	is.NoErr(err)
	users := write(t, dir, "users", "ann:"+string(hash)+"\n", 0o600)
	d := start(t, "-smtpaddr", relay.Listen(t), "-listen", "0", "-listenuser", users, "-listencert", cert, "-listenkey", key,
		t.TempDir())
	d.logs("SMTP server started", 1)
	addr := listening.FindStringSubmatch(d.log.String())[1]
	before := sockets(d.cmd.Process.Pid) // the daemon may still open other files
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for range 6 {
				attackOverTLS(addr, r)
			}
		})
	}
	clients.Wait()
	crowd(addr, crowded(0))
	eventually(t, "all connections are closed", func() bool { return sockets(d.cmd.Process.Pid) <= before })
	is.Equal(len(relay.Messages()), 0)
	is.True(!strings.Contains(d.log.String(), "panic"))
	d.stop()
}

// A hostile program that runs sendmail -bs cannot have other mail sent either, and the memory of its session stays
// bounded.
func TestSMTPStdioWithHostileClients(t *testing.T) {
	is := is.New(t)
	spool, relay := t.TempDir(), &smtptest.Relay{}
	length, _ := time.ParseDuration(os.Getenv("SPOOLGORE_HOSTILE"))
	end, seed := time.Now().Add(length), rand.Uint64()
	t.Logf("seed %d", seed)
	var clients sync.WaitGroup
	var sessions, peak atomic.Int64
	for n := range 4 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for i := 0; i < 15 || time.Now().Before(end); i++ {
				text := hostile(r)
				if strings.HasPrefix(text, "POST") {
					continue // on a pipe there is no check for HTTP, so the rest of this session is executed
				}
				kib := overPipe(t, spool, text)
				sessions.Add(1)
				for was := peak.Load(); kib > was && !peak.CompareAndSwap(was, kib); was = peak.Load() {
				}
			}
		})
	}
	clients.Wait()
	overPipe(t, spool, hostileHello+hostileBody+".\r\nQUIT\r\n")
	d := start(t, "-once", "-bounce=false", "-smtpaddr", relay.Listen(t), spool)
	is.Equal(d.exit(), 0)
	t.Logf("%d sessions, %d messages, %d KiB in memory at the most", sessions.Load(), len(relay.Messages()), peak.Load())
	is.True(len(relay.Messages()) > 0)
	onlyMeant(t, relay)
	is.True(peak.Load() <= 96<<10)
}

// overPipe runs one session of sendmail -bs, and returns the most memory that the process had, in KiB.
func overPipe(t *testing.T, spool, text string) (kib int64) {
	cmd := exec.Command(os.Args[0], "smtp-stdio")
	cmd.Env = append(os.Environ(), asCommand+"=1", "SPOOLGORE_DIR="+spool)
	cmd.Stdin = strings.NewReader(text)
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Error(err)
		return 0
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
}

// certificateFiles writes a certificate for localhost and its key to dir.
func certificateFiles(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	pair, _ := smtptest.Certificate(t, "localhost")
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	var chain []byte
	for _, c := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return write(t, dir, "cert.pem", string(chain), 0o600), write(t, dir, "key.pem", string(private), 0o600)
}

// attackOverTLS begins a handshake and closes the connection, or completes the handshake and sends a session without a
// login.
func attackOverTLS(addr string, r *rand.Rand) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	switch r.IntN(3) {
	case 0:
		_, _ = io.WriteString(conn, hello[:1+r.IntN(len(hello))])
		return
	case 1:
		_, _ = io.WriteString(conn, hello+strings.Repeat("x", r.IntN(1000)))
		return
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if secure.Handshake() != nil {
		return
	}
	_, _ = io.WriteString(secure, hostile(r))
	if r.IntN(2) == 0 {
		return // the connection ends without a TLS close
	}
	_ = secure.CloseWrite()
	_, _ = io.Copy(io.Discard, secure)
}

// peakMemory returns the most memory that a process has had, in KiB.
func peakMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err = strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib
}
