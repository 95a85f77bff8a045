package smtpclient

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// A relay that sends replies without commands takes bounded time and memory, and ends the session.
func TestRelayThatTalksTooMuch(t *testing.T) {
	for name, answer := range map[string]string{
		"second answer":    "250 ok\r\n250 ok",
		"many answers":     strings.Repeat("250 ok\r\n", 50000) + "250 ok",
		"garbage":          strings.Repeat("\x00\xff\r\n", 50000),
		"no line end":      strings.Repeat("x", 1<<20),
		"endless reply":    strings.Repeat("250-ok\r\n", 100000),
		"go ahead unasked": "250 ok\r\n354 go",
	} {
		for _, verb := range []string{"MAIL", "RCPT", "END", "RSET"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
					synctest.Test(t, func(t *testing.T) {
						is := is.New(t)
						r.Reply = script(map[string]string{verb: answer})
						c := mustOpen(t, r)
						start := time.Now()
						outcomes := serve(t, c, append(letters(5), letters(5)...)...)
						is.True(len(outcomes) > 0 && outcomes[0] != "twice") // each recipient has one outcome
						is.True(len(outcomes) < 10)                          // the transaction ends
						is.True(!c.Usable())                                 // the session has ended
						is.True(time.Since(start) < time.Hour)               // within a bounded time
						is.True(len(c.wire.in.buf) <= maxLine)               // at most a line is kept
					})
				})
			})
		}
	}
}

// A relay that sends one octet a second is given up at the limit of a step, also in a flight.
func TestSlowRelayInAFlight(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			slow := "250 " + strings.Repeat("x", 100) + "|drip"
			r.Reply = script(map[string]string{"MAIL": slow, "RCPT": slow, "RSET": slow, "END": slow})
			c, err := open(t.Context(), r, remote, Config{Timeout: 20 * time.Second})
			is.NoErr(err) // set up
			start := time.Now()
			serve(t, c, letters(8)...)
			is.Equal(time.Since(start), 20*time.Second) // the limit of the first reply
			is.True(!c.Usable())                        // the session is over
		})
	})
}

// TestMemoryWhileWaiting has many transactions that wait for the reply to the end of the data.
func TestMemoryWhileWaiting(t *testing.T) {
	const n = 100
	inEachModeInABubble(t, func(t *testing.T, m mode) {
		is := is.New(t)
		ended := make(chan struct{}, n)
		content := strings.Repeat("0123456789abcdef\r\n", 1000)
		waiting := func() uint64 {
			runtime.GC()
			runtime.GC()
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			return stats.HeapAlloc + stats.StackInuse
		}
		before := waiting()
		for range n {
			client, server := pipe(t)
			go silent(server, m, len(content), ended)
			go func() {
				c, err := Connect(t.Context(), client, Config{LocalName: "me"})
				if err == nil {
					c.Transact(t.Context(), &Transaction{To: []string{"a"}, Size: int64(len(content)), Content: strings.NewReader(content)})
				}
			}()
		}
		for range n {
			<-ended
		}
		synctest.Wait() // every client waits for the reply
		each := (waiting() - before) / n
		t.Logf("%d octets for each connection, with both ends", each)
		is.True(each < 20<<10) // far less than the content
	})
}

// inEachModeInABubble is inEachMode in a bubble, and without a relay.
func inEachModeInABubble(t *testing.T, test func(t *testing.T, m mode)) {
	inEachMode(t, func(t *testing.T, m mode, _ *smtptest.Relay) {
		synctest.Test(t, func(t *testing.T) { test(t, m) })
	})
}

// silent reads a message with that much content, and does not reply to its end.
func silent(server io.ReadWriter, m mode, size int, ended chan<- struct{}) {
	_, _ = io.WriteString(server, "220 hi\r\n")
	buf := make([]byte, 256)
	_, _ = server.Read(buf)
	_, _ = io.WriteString(server, "250-hi\r\n250-"+strings.Join(m.ext, "\r\n250-")+"\r\n250 X\r\n")
	answers := []string{"250 ok\r\n", "250 ok\r\n", "354 go\r\n"}
	switch {
	case m.chunking(): // MAIL, RCPT and BDAT 0
		answers = []string{strings.Repeat("250 ok\r\n", 3)}
	case !m.lockStep():
		answers = []string{strings.Join(answers, "")}
	}
	for _, answer := range answers {
		_, _ = server.Read(buf)
		_, _ = io.WriteString(server, answer)
	}
	for total := 0; ; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if total < size && total+n >= size {
			ended <- struct{}{}
		}
		total += n
	}
}
