//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A load is how many messages a peer is given, and how large each is.
type load struct {
	n    int
	size int // octets, about
}

const (
	sender    = "sender@bench.test"
	recipient = "recipient@example.org"
)

// textLine is one line of every message.
const textLine = "The quick brown fox jumps over the lazy dog, and nobody knows why it does. 0123\n"

// message returns message n of a load, with lines that end in LF.
func (l load) message(n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\nTo: %s\nSubject: message %d\nX-Bench-Id: %d\n", sender, recipient, n, n)
	fmt.Fprintf(&b, "Date: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <%d@bench.test>\n\n", n)
	for b.Len() < l.size {
		b.WriteString(textLine[:min(len(textLine)-1, max(1, l.size-b.Len()-1))] + "\n")
	}
	return []byte(b.String())
}

// write writes each message of l as a file in dir, named name(n), with head in front.
func (l load) write(dir string, perm os.FileMode, name func(n int) string, head string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for n := range l.n {
		text := append([]byte(head), l.message(n)...)
		if err := os.WriteFile(filepath.Join(dir, name(n)), text, perm); err != nil {
			return err
		}
	}
	return nil
}
