package spoolgore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matryer/is"
)

// A message of 256 MiB, all zeros without a line end, takes no more memory than any other message, and delays no other
// message.
func TestMemoryForALargeMessage(t *testing.T) {
	size, most := int64(256<<20), uint64(4<<20)
	if poolsLeak { // the race detector also makes everything much slower
		size, most = 64<<20, 64<<20
	}
	for name, ext := range map[string][]string{"DATA": nil, "BDAT": {"PIPELINING", "CHUNKING"}} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir, relay := t.TempDir(), &abyss{ext: ext, others: make(chan struct{})}
			drop(t, dir, "huge", simple)
			is.NoErr(os.Truncate(filepath.Join(dir, "huge"), size))
			for i := range smallOnes {
				drop(t, dir, fmt.Sprint("small", i), simple)
			}
			s := New(dir, exact(Options{SMTPAddr: relay.listen(t), Concurrency: 2}))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			is.NoErr(s.Drain(t.Context()))
			runtime.ReadMemStats(&after)
			is.True(relay.took.Load() > size)                  // the whole message was sent
			is.True(after.TotalAlloc-before.TotalAlloc < most) // the memory does not depend on the size
			// after all small messages: no small message has waited for the large one
			is.Equal(relay.large.Load(), int64(1))
			is.True(!exists(dir, "huge"))
		})
	}
}

const smallOnes = 10

// An abyss is a relay that discards all content. Lines can have any length.
type abyss struct {
	ext                []string
	took, small, large atomic.Int64
	others             chan struct{} // closed when all small messages have arrived; the large message waits for that
}

func (a *abyss) listen(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (a *abyss) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	answer, size := "220 ready", int64(0)
	for {
		if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
			return
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		answer = "250 ok"
		switch verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " "); verb {
		case "EHLO":
			answer = strings.Join(append([]string{"250-abyss"}, a.ext...), "\r\n250-") + "\r\n250 HELP"
		case "DATA":
			if _, err := io.WriteString(conn, "354 go\r\n"); err != nil {
				return
			}
			a.arrived(toTheDot(r))
		case "BDAT":
			count, last, _ := strings.Cut(arg, " ")
			n, _ := strconv.ParseInt(count, 10, 64)
			n, _ = io.CopyN(io.Discard, r, n)
			if size += n; last != "" {
				a.arrived(size)
				size = 0
			}
		}
	}
}

func (a *abyss) arrived(n int64) {
	a.took.Add(n)
	if n < 1<<20 {
		if a.small.Add(1) == smallOnes {
			close(a.others)
		}
		return
	}
	select {
	case <-a.others:
		a.large.Add(1)
	case <-time.After(patience):
	}
}

// toTheDot reads to the end of the data and counts.
func toTheDot(r *bufio.Reader) (n int64) {
	end := []byte("\r\n.\r\n")
	for {
		if _, err := r.Peek(len(end)); err != nil {
			return n
		}
		buf, _ := r.Peek(r.Buffered())
		drop := len(buf) - len(end) + 1
		i := bytes.Index(buf, end)
		if i >= 0 {
			drop = i + len(end)
		}
		_, _ = r.Discard(drop)
		if n += int64(drop); i >= 0 {
			return n
		}
	}
}
