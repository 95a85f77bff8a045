//go:build unix

// Package pgtest gives tests a private PostgreSQL server.
package pgtest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/unbit/spoolgore/fleet/internal/pgserver"
)

// Server is one PostgreSQL server.
type Server = pgserver.Server

// New makes a server in a new directory and starts the server. settings are lines as "fsync=off".
func New(settings ...string) (*Server, error) { return pgserver.New(settings...) }

// Shared is a server for the tests of one package, which starts with the first test that needs the server.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
	count  atomic.Int64
}

// Server returns the server. The test is skipped if PostgreSQL is missing, and fails if CI is set.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	s.once.Do(func() { s.server, s.err = New() })
	Need(t, s.err)
	return s.server
}

// DB returns the address of a new database.
func (s *Shared) DB(t testing.TB) string {
	t.Helper()
	url, err := s.Server(t).Create(fmt.Sprintf("t%d", s.count.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Close ends the server.
func (s *Shared) Close() {
	if s.server != nil {
		s.server.Remove()
	}
}

// Need skips the test if err is pgserver.ErrMissing, and fails the test after another error, or if CI is set.
func Need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, pgserver.ErrMissing) && os.Getenv("CI") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}
