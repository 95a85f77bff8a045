package smtplisten

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// guess lets n sessions of each client check a wrong password, and returns the largest number of checks at the same
// time.
func guess(l *Listener, clients, n int) (most int64) {
	var running, highest atomic.Int64
	login := func(string, string) error {
		if now := running.Add(1); now > highest.Load() {
			highest.Store(now)
		}
		time.Sleep(50 * time.Millisecond) // as long as bcrypt takes
		running.Add(-1)
		return errLogin
	}
	var wg sync.WaitGroup
	for c := range clients {
		for range n {
			wg.Go(func() { _ = l.oneAtATime(context.Background(), strconv.Itoa(c), login)("app", "wrong") })
		}
	}
	wg.Wait()
	return highest.Load()
}

func TestAClientTriesOnePasswordInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l, begin := &Listener{}, time.Now()
		is.Equal(guess(l, 1, maxPerClient), int64(1))
		// more connections of a client do not make guessing faster
		is.True(time.Since(begin) >= maxPerClient*loginPause)
		is.Equal(len(l.logins.clients), 0) // no client is remembered at the end
	})
}

// A client that guesses passwords from the same address, behind a router or a proxy, does not delay a login with the
// right password.
func TestRightPasswordDoesNotWaitForGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l, checks := &Listener{}, 0
		login := func(user, password string) error {
			if checks++; user != "app" || password != "right" {
				return errLogin
			}
			return nil
		}
		is.NoErr(l.oneAtATime(t.Context(), "host", login)("app", "right"))
		for range maxPerClient {
			go func() {
				_ = l.oneAtATime(t.Context(), "host", func(string, string) error { return errLogin })("app", "wrong")
			}()
		}
		synctest.Wait() // one check pauses, the others wait
		begin := time.Now()
		is.NoErr(l.oneAtATime(t.Context(), "host", login)("app", "right"))
		is.Equal(time.Since(begin), time.Duration(0))
		is.Equal(checks, 1)
		for _, wrong := range [][2]string{{"app", "righ"}, {"appr", "ight"}, {"app", "right "}, {"ap", "p right"}, {"", "right"}} {
			// the other client is not delayed
			is.Equal(l.oneAtATime(t.Context(), "other", login)(wrong[0], wrong[1]), errLogin)
		}
		is.Equal(len(l.logins.right), 1)
	})
}

func TestManyClientsLeaveProcessorTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &Listener{}
		most := guess(l, maxConnections, 1)
		is.Equal(most, int64(cap(l.logins.all))) // half of the processors are used
	})
}

func TestWaitForACheckEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		l := &Listener{}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			_ = l.oneAtATime(t.Context(), "a", func(string, string) error { return errLogin })("app", "wrong")
		}()
		synctest.Wait() // the client pauses
		begin := time.Now()
		time.AfterFunc(time.Millisecond, stop)
		err := l.oneAtATime(ctx, "a", func(string, string) error { return nil })("app", "right")
		is.Equal(err, errBusy)
		is.Equal(time.Since(begin), time.Millisecond)
	})
}

// from returns a connection from an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", f.addr)
	if err != nil {
		panic(err)
	}
	return addr
}

func TestHostWithManyAddressesIsOneClient(t *testing.T) {
	is := is.New(t)
	one := keyOf(from{addr: "[2001:db8::1]:1"}, "")
	is.Equal(one, keyOf(from{addr: "[2001:db8::ffff:1:2]:2"}, ""))
	is.True(one != keyOf(from{addr: "[2001:db8:0:1::1]:1"}, ""))
	is.True(keyOf(from{addr: "192.0.2.1:1"}, "") != keyOf(from{addr: "192.0.2.2:1"}, ""))
	is.Equal(keyOf(from{addr: "[::ffff:192.0.2.1]:1"}, ""), keyOf(from{addr: "192.0.2.1:1"}, ""))
}
