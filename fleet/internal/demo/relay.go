package demo

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// relay is an SMTP server that takes at most limit messages in any second, as a provider does.
type relay struct {
	listener net.Listener
	limit    int

	mu      sync.Mutex
	mails   []time.Time    // times of MAIL
	refused int            // MAIL above the limit
	got     map[string]int // accepted messages by subject
}

// startRelay starts a relay on loopback.
func startRelay(limit int) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, limit: limit, got: make(map[string]int)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return r, nil
}

// serve is one session.
func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	in, say := bufio.NewReader(conn), func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 relay.example.com ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch verb {
		case "EHLO":
			say("250-relay.example.com\r\n250 PIPELINING")
		case "MAIL":
			say(r.mail(time.Now()))
		case "DATA":
			say("354 go on")
			subject, ok := content(in)
			if !ok {
				return
			}
			r.mu.Lock()
			r.got[subject]++
			r.mu.Unlock()
			say("250 2.0.0 accepted")
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 fine")
		}
	}
}

// mail returns the reply to MAIL.
func (r *relay) mail(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails = append(r.mails, now)
	if n := len(r.mails); n > r.limit && now.Sub(r.mails[n-1-r.limit]) < time.Second {
		r.refused++
		return "450 4.7.1 too many messages in this second"
	}
	return "250 2.1.0 fine"
}

// content reads a message, and returns its subject.
func content(in *bufio.Reader) (subject string, ok bool) {
	for {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			return "", false
		case line == ".\r\n":
			return subject, true
		}
		if text, found := strings.CutPrefix(line, "Subject: "); found && subject == "" {
			subject = strings.TrimSpace(text)
		}
	}
}

// count returns the number of subjects that were accepted, and of further copies of them.
func (r *relay) count() (subjects, copies int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.got {
		copies += n - 1
	}
	return len(r.got), copies
}

// has reports whether a message was accepted.
func (r *relay) has(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[subject] > 0
}

// most returns the largest number of MAIL in any second.
func (r *relay) most() (most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := 0
	for i, at := range r.mails {
		for at.Sub(r.mails[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
