package smtplisten

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// A loginFunc checks user and password.
type loginFunc = func(user, password string) error

// limited returns login with a pause after each refusal, and the end of the session after several.
func (c *conn) limited(login loginFunc, log *slog.Logger, client string) loginFunc {
	return func(user, password string) error {
		err := login(user, password)
		if err == nil {
			return nil
		}
		log.Warn("login of an SMTP client refused", "client", client)
		if c.refused++; c.refused >= maxLogins {
			_, _ = io.WriteString(c, "421 4.7.0 too many refused logins\r\n")
			_ = c.Close()
		}
		return err
	}
}

// logins limits the checks of passwords, which cost much processor time on purpose: one at a time for a client, and
// half of the processors for all. A refused login keeps its client for loginPause. So a client tries one password in a
// second, however many connections the client has. A login that was right before does not wait: else somebody who
// guesses from the same address would keep the owner of the password from sending mail.
type logins struct {
	mu      sync.Mutex
	clients map[string]*turn
	all     chan struct{}              // has room for each check that may run
	right   map[[sha256.Size]byte]bool // digests of logins that were right: one for each password of the file, at most
	key     []byte                     // of the digests
}

// turn is the right of a client to have a password checked.
type turn struct {
	taken chan struct{} // has room for one
	users int           // sessions that wait or check
}

// errBusy is the error of a login for which there was no time.
var errBusy = errors.New("the server ends")

// oneAtATime returns login for a session of a client.
func (s *Listener) oneAtATime(ctx context.Context, client string, login loginFunc) loginFunc {
	return func(user, password string) error {
		digest, known := s.logins.known(user, password)
		if known {
			return nil
		}
		t, all := s.logins.enter(client)
		defer s.logins.leave(client, t)
		if !take(ctx, t.taken) {
			return errBusy
		}
		defer func() { <-t.taken }()
		if !take(ctx, all) {
			return errBusy
		}
		err := login(user, password)
		<-all
		if err == nil {
			s.logins.remember(digest)
			return nil
		}
		select {
		case <-time.After(loginPause):
		case <-ctx.Done():
		}
		return err
	}
}

// take waits for room in c. It returns false if ctx ends before.
func take(ctx context.Context, c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// known returns the digest of a login, and whether the login was right before. The users do not change while the daemon
// runs.
func (l *logins) known(user, password string) (digest [sha256.Size]byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.key == nil {
		l.key, l.right = make([]byte, sha256.Size), make(map[[sha256.Size]byte]bool)
		_, _ = rand.Read(l.key) // never fails
	}
	mac := hmac.New(sha256.New, l.key)
	_, _ = fmt.Fprintf(mac, "%d %s %s", len(user), user, password)
	mac.Sum(digest[:0])
	return digest, l.right[digest]
}

// remember records that a login was right.
func (l *logins) remember(digest [sha256.Size]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.right[digest] = true
}

// enter returns the turn of a client, and the room of all clients.
func (l *logins) enter(client string) (t *turn, all chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.clients, l.all = make(map[string]*turn), make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	}
	if t = l.clients[client]; t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		l.clients[client] = t
	}
	t.users++
	return t, l.all
}

// leave ends the use of a turn.
func (l *logins) leave(client string, t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(l.clients, client)
	}
}
