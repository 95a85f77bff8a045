//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

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
	switch r.IntN(9) {
	case 0, 1: // smuggling: an end of data that another server may know, and a second message
		return hostileHello + hostileBody + ends[r.IntN(len(ends))] + hostileInner + ".\r\nQUIT\r\n"
	case 2: // an endless command
		return "EHLO " + strings.Repeat("x", 1<<r.IntN(20))
	case 3: // an endless line in a message, cut off
		return hostileHello + hostileBody + strings.Repeat("y", 1<<r.IntN(20))
	case 4: // a request of a web page, with a session in its body
		return "POST / HTTP/1.1\r\nHost: a\r\n\r\n" + hostileHello + hostileInner
	case 5: // commands within a parameter
		return "EHLO c\r\nMAIL FROM:<f@x.org>\rRCPT TO:<victim@unrelated.example>\r\nDATA\r\n.\r\n"
	case 6: // too many recipients, none good
		return "EHLO c\r\nMAIL FROM:<f@x.org>\r\n" + strings.Repeat("RCPT TO:<a@x..org>\r\n", r.IntN(500))
	case 7: // BDAT, which is not offered
		return "EHLO c\r\nMAIL FROM:<f@x.org>\r\nRCPT TO:<good@x.org>\r\nBDAT 1000 LAST\r\n" + hostileInner
	}
	return "EHLO c\r\n" + string(junk) + hostileInner[:r.IntN(len(hostileInner))]
}

// attack runs one session. The answers are read, so that the server can go on.
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

// greets reports whether a new client is admitted.
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

// A hostile client of -listen gets no mail sent that the session does not have as a message of its own, and the memory
// of the daemon stays bounded. SPOOLGORE_HOSTILE is a duration, such as 1h, for a longer run; its seed is in the log.
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
		}
	})
	clients.Wait()
	eventually(t, "the server admits a client", func() bool { return greets(addr) })
	attack(addr, hostileHello+hostileBody+".\r\nQUIT\r\n") // the server still works
	eventually(t, "all is delivered", func() bool { return len(relay.Messages()) > 0 && names(t, spool) == "" })
	for _, m := range relay.Messages() {
		is.Equal(m.From, "f@x.org")
		is.Equal(m.To, []string{"good@x.org"})                          // no command within a message was obeyed
		is.True(strings.Contains(string(m.Data), "Subject: meant\r\n")) // the message of the session
		is.True(!m.BareCR && !m.BareLF)
	}
	const most = 96 << 10 // KiB; with the race detector and 100 sessions of 20 MB each it would be far more
	if kib := peakMemory(t, d.cmd.Process.Pid); kib > most {
		t.Errorf("the daemon had %d KiB in memory", kib)
	}
	d.stop()
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
