package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// sink is a relay that accepts everything and allocates almost nothing, so that a benchmark measures the client.
func sink(conn net.Conn, ext string) {
	r := bufio.NewReaderSize(conn, 64<<10)
	w := bufio.NewWriterSize(conn, 64<<10)
	say := func(text string) { _, _ = w.WriteString(text) }
	say("220 hi\r\n")
	for {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(line[:4]) {
		case "EHLO":
			say(ext)
		case "DATA":
			say("354 go\r\n")
			if w.Flush() != nil || !skipData(r) {
				return
			}
			say("250 2.0.0 ok queued\r\n")
		case "BDAT":
			count, _, _ := bytes.Cut(bytes.TrimSpace(line[5:]), []byte(" "))
			n, _ := strconv.Atoi(string(count))
			if _, err := r.Discard(n); err != nil {
				return
			}
			say("250 2.0.0 ok queued\r\n")
		default:
			say("250 2.0.0 ok\r\n")
		}
	}
}

func skipData(r *bufio.Reader) bool {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil || string(line) == ".\r\n" {
			return err == nil
		}
	}
}

// loopback is a TCP connection to a sink.
func loopback(tb testing.TB, ext string) net.Conn {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				sink(conn, ext)
				_ = conn.Close()
			}()
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	return nc
}

// offers are replies to EHLO by mode.
func (m mode) offers() string {
	return "250-sink\r\n250-" + strings.Join(m.ext, "\r\n250-") + "\r\n250 DSN\r\n"
}

// BenchmarkWarm sends messages of 4 KiB over one connection. One allocation for each message is the Transaction.
func BenchmarkWarm(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			c, err := Connect(context.Background(), loopback(b, m.offers()), Config{LocalName: "client.test"})
			if err != nil {
				b.Fatal(err)
			}
			content := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
			to := []string{"b@x.test"}
			message := func() *Transaction {
				return &Transaction{From: "a@x.test", To: to, Size: int64(len(content)), Content: bytes.NewReader(content)}
			}
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			b.ResetTimer()
			n := 1
			c.Serve(context.Background(), message(), func() *Transaction {
				if n++; n > b.N {
					return nil
				}
				return message()
			}, func(_ *Transaction, results []Result) {
				if results[0].Err != nil {
					b.Fatal(results[0].Err)
				}
			})
		})
	}
}

// BenchmarkLarge sends messages of 10 MiB.
func BenchmarkLarge(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			c, err := Connect(context.Background(), loopback(b, m.offers()), Config{LocalName: "client.test"})
			if err != nil {
				b.Fatal(err)
			}
			content := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 10<<14))
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				x := &Transaction{To: []string{"b@x.test"}, Size: int64(len(content)), Content: struct{ io.Reader }{bytes.NewReader(content)}}
				if results := c.Transact(context.Background(), x); results[0].Err != nil {
					b.Fatal(results[0].Err)
				}
			}
		})
	}
}
