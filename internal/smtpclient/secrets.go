package smtpclient

import (
	"encoding/base64"
	"slices"
	"strings"
	"sync"
)

const (
	minSecret  = 6     // octets; shorter secrets are words that occur in any text
	mask       = "***" // in place of a secret
	maxSecrets = 48    // strings of a secrets: logins of a process with changing tokens
)

// secrets are strings that are masked in the replies of a relay: replies go to log, status file and reports, and some
// relays repeat what they got. The zero value and nil have none. Any goroutine may call the methods.
type secrets struct {
	mu    sync.Mutex
	texts []string // the newest last
	order []string // texts, the longest first: a text may be a part of another; never changed in place
}

// add adds secret and its base64. The oldest of many strings are dropped.
func (s *secrets) add(secret string) {
	if s == nil || len(secret) < minSecret {
		return
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range []string{secret, encoded, strings.TrimRight(encoded, "=")} {
		if !slices.Contains(s.texts, text) {
			s.texts = append(s.texts[max(0, len(s.texts)-maxSecrets+1):], text)
		}
	}
	s.order = slices.SortedStableFunc(slices.Values(s.texts), func(a, b string) int { return len(b) - len(a) })
}

// masked returns text without the secrets.
func (s *secrets) masked(text string) string {
	if s == nil {
		return text
	}
	s.mu.Lock()
	order := s.order
	s.mu.Unlock()
	for _, secret := range order {
		text = strings.ReplaceAll(text, secret, mask)
	}
	return text
}

// keep makes later sessions with the relay mask secret, too. Without Logins only the session does.
func (l *Logins) keep(secret string) {
	if l != nil {
		l.secrets.add(secret)
	}
}

// hide makes the reader mask secret and its base64 in replies from now on.
func (l *lineReader) hide(secret string) { l.own.add(secret) }

// hidden returns a line of a reply without the secrets of the session, and of earlier ones with the relay.
func (l *lineReader) hidden(line string) string { return l.own.masked(l.earlier.masked(line)) }
