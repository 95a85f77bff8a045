package sink

import (
	"bytes"
	"sync"
	"time"
)

// NumberField is the header field with the number of a message: in decimal digits, counted from 0. A message without a
// number is counted and otherwise ignored.
const NumberField = "X-Bench-Id: "

// maxNumber bounds the memory for a number.
const maxNumber = 10_000_000

// A ledger records which messages were accepted, and when.
type ledger struct {
	mu          sync.Mutex
	accepted    []int64 // time of the first acceptance, by number
	sum         Summary // the fields about accepted messages
	first, last int64
}

// add records the acceptance of a message of size octets that begins with head.
func (l *ledger) add(head []byte, size int64) {
	n, now := number(head), time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 {
		l.first = now
	}
	l.last = now
	l.sum.Messages++
	l.sum.Bytes += size
	if n < 0 {
		l.sum.Unnumbered++
		return
	}
	for n >= len(l.accepted) {
		l.accepted = append(l.accepted, make([]int64, len(l.accepted)+1024)...)
	}
	if l.accepted[n] != 0 {
		l.sum.Duplicates++
		return
	}
	l.accepted[n] = now
	l.sum.Distinct++
}

// fill copies the content of the ledger into s.
func (l *ledger) fill(s *Summary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Messages, s.Bytes, s.Unnumbered = l.sum.Messages, l.sum.Bytes, l.sum.Unnumbered
	s.Distinct, s.Duplicates, s.FirstMail, s.LastMail = l.sum.Distinct, l.sum.Duplicates, l.first, l.last
}

func (l *ledger) times() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int64(nil), l.accepted...)
}

// number finds the number in the header of a message; -1: there is none.
func number(head []byte) int {
	_, digits, found := bytes.Cut(head, []byte("\n"+NumberField))
	if !found {
		digits, found = bytes.CutPrefix(head, []byte(NumberField))
	}
	n, any := 0, false
	for _, c := range digits {
		if c < '0' || c > '9' || n > maxNumber {
			break
		}
		n, any = 10*n+int(c-'0'), true
	}
	if !found || !any || n > maxNumber {
		return -1
	}
	return n
}
