//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// bareConnections is how many connections the bare sender uses without a number of its own.
const bareConnections = 20

// bareFlight is how many messages share a flight if the relay offers CHUNKING, as with Spoolgore.
const bareFlight = 4

// barePeer is a program that only reads the files of a directory, sends them and removes them: no check of the file, no
// schedule, no log, no state, no second attempt. A sender cannot do with less.
func barePeer(n int) peer {
	if n == 0 {
		n = bareConnections
	}
	return peer{
		fill: func(e *env, l load) error { return spoolFiles(e, l, "") },
		release: func(e *env) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return e.start("", self, "bare", e.relay, spool(e), strconv.Itoa(n))
		},
	}
}

// runBare is the process of the bare sender.
func runBare(relay, dir, connections string) error {
	n, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	b := &bare{dir: dir}
	for _, e := range entries {
		if e.Type().IsRegular() {
			b.names = append(b.names, e.Name())
		}
	}
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for range n {
		wg.Go(func() { errs <- b.send(relay) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// bare is the work of all connections of the bare sender.
type bare struct {
	dir   string
	names []string
	next  atomic.Int64 // index of the next name
}

// bareLine is one connection.
type bareLine struct {
	b    *bare
	conn net.Conn
	in   *textproto.Reader
	out  bytes.Buffer
}

// send sends messages over one connection until none is left.
func (b *bare) send(relay string) error {
	conn, err := net.Dial("tcp", relay)
	if err != nil {
		return err
	}
	defer conn.Close()
	l := &bareLine{b: b, conn: conn, in: textproto.NewReader(bufio.NewReaderSize(conn, 1<<10))}
	if err := expect(l.in, 220); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("EHLO bench.test\r\n")); err != nil {
		return err
	}
	_, text, err := l.in.ReadResponse(250)
	if err != nil {
		return err
	}
	if strings.Contains(text, "CHUNKING") {
		return l.chunks()
	}
	return l.data()
}

// flush sends what is ready and expects an answer with each of codes.
func (l *bareLine) flush(codes ...int) error {
	_, err := l.out.WriteTo(l.conn)
	if err != nil {
		return err
	}
	return expect(l.in, codes...)
}

// chunks sends with BDAT, several messages in a flight.
func (l *bareLine) chunks() error {
	for {
		var names []string
		var codes []int
		for range bareFlight {
			name, text, err := l.b.read()
			if err != nil {
				return err
			}
			if name == "" {
				break
			}
			fmt.Fprintf(&l.out, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n", sender, recipient, len(text))
			l.out.Write(text)
			names, codes = append(names, name), append(codes, 250, 250, 250)
		}
		if len(names) == 0 {
			return nil
		}
		if err := l.flush(codes...); err != nil {
			return err
		}
		if err := l.b.remove(names...); err != nil {
			return err
		}
	}
}

// data sends with DATA: the end of a message shares a flight with the start of the next.
func (l *bareLine) data() error {
	var last string
	for {
		name, text, err := l.b.read()
		if err != nil || name == "" && last == "" {
			return err
		}
		var codes []int
		if last != "" {
			codes = append(codes, 250)
		}
		if name != "" {
			fmt.Fprintf(&l.out, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", sender, recipient)
			codes = append(codes, 250, 250, 354)
		}
		if err := l.flush(codes...); err != nil {
			return err
		}
		if last != "" {
			if err := l.b.remove(last); err != nil {
				return err
			}
		}
		last = name
		if name != "" {
			l.out.Write(text) // no line starts with a dot
			l.out.WriteString(".\r\n")
		}
	}
}

// read returns the next message, with lines that end in CRLF. An empty name means that none is left.
func (b *bare) read() (name string, text []byte, err error) {
	n := int(b.next.Add(1)) - 1
	if n >= len(b.names) {
		return "", nil, nil
	}
	text, err = os.ReadFile(filepath.Join(b.dir, b.names[n]))
	return b.names[n], bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), err
}

func (b *bare) remove(names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
			return err
		}
	}
	return nil
}
