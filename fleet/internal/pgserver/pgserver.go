//go:build unix

// Package pgserver runs a private PostgreSQL server for tests and the demo: in a temporary directory, on a Unix socket,
// as the user "nobody" if the caller is root, whom PostgreSQL refuses.
package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrMissing means that there is no PostgreSQL on this host.
var ErrMissing = errors.New("PostgreSQL is not installed (Debian: apt-get install postgresql)")

// Server is one PostgreSQL server.
type Server struct {
	Dir string // of the data and of the socket

	mu   sync.Mutex
	proc *exec.Cmd
	args []string
}

// bin returns the path of a program of PostgreSQL.
func bin(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", ErrMissing
	}
	return path, nil
}

// command returns a command that runs as a user whom PostgreSQL accepts.
func command(name string, args ...string) (*exec.Cmd, error) {
	path, err := bin(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	if uid, gid, ok := other(); ok {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return cmd, nil
}

// other returns the user "nobody", if this process runs as root.
func other() (uid, gid uint32, ok bool) {
	if os.Getuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return 0, 0, false
	}
	n, _ := strconv.ParseUint(u.Uid, 10, 32)
	g, _ := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(n), uint32(g), true
}

// New makes a server in a new directory and starts the server. settings are lines as "fsync=off".
func New(settings ...string) (*Server, error) {
	if _, err := bin("initdb"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir}
	if uid, gid, ok := other(); ok {
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	initdb, err := command(
		"initdb", "--no-sync", "-A", "trust", "-U", "spoolgore", "-E", "UTF8", "--locale=C", s.data())
	if err != nil {
		return nil, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.begin(settings)
}

// Standby makes a copy of s as a standby that follows s, and starts the standby. name is its name for
// synchronous_standby_names.
func (s *Server) Standby(name string) (*Server, error) {
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	c := &Server{Dir: dir}
	if uid, gid, ok := other(); ok {
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	backup, err := command(
		"pg_basebackup", "-h", s.Dir, "-U", "spoolgore", "-D", c.data(), "-R", "-c", "fast", "--no-sync")
	if err != nil {
		return nil, err
	}
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	info := fmt.Sprintf("primary_conninfo=host=%s user=spoolgore application_name=%s", s.Dir, name)
	return c, c.begin([]string{info})
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

func (s *Server) begin(settings []string) error {
	s.args = []string{
		"-D", s.data(), "-k", s.Dir, "-c", "listen_addresses=", "-c", "max_connections=200",
		"-c", "shared_buffers=32MB", "-c", "log_min_messages=error",
	}
	for _, line := range settings {
		s.args = append(s.args, "-c", line)
	}
	return s.Start()
}

// Start starts the server after Stop or Kill.
func (s *Server) Start() error {
	cmd, err := command("postgres", s.args...)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint // only the child writes
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = cmd
	s.mu.Unlock()
	for range 600 {
		ready, err := command("pg_isready", "-q", "-h", s.Dir)
		if err != nil {
			return err
		}
		if ready.Run() == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	return fmt.Errorf("the server did not start: %s", text)
}

// end sends a signal to the server and waits for its end.
func (s *Server) end(sig os.Signal) {
	s.mu.Lock()
	proc := s.proc
	s.proc = nil
	s.mu.Unlock()
	if proc != nil {
		_ = proc.Process.Signal(sig)
		_ = proc.Wait()
	}
}

// Processor returns the processor time of all processes of the server in seconds, including processes that have ended.
// Only Linux tells.
func (s *Server) Processor() (seconds float64, err error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	postmaster := strconv.Itoa(s.PID())
	for _, d := range dirs {
		text, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue // no process, or one that has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if d.Name() != postmaster && f[1] != postmaster {
			continue
		}
		ticks := []string{f[11], f[12]}
		if d.Name() == postmaster {
			ticks = append(ticks, f[13], f[14]) // children that have ended
		}
		for _, x := range ticks {
			n, _ := strconv.Atoi(x)
			seconds += float64(n) / 100
		}
	}
	return seconds, nil
}

// PID returns the process of a running server.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.Process.Pid
}

// Stop ends the server as "pg_ctl stop -m fast" does.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Crash ends the server as "pg_ctl stop -m immediate" does: the next start recovers from the log.
func (s *Server) Crash() { s.end(syscall.SIGQUIT) }

// Promote makes a standby the primary.
func (s *Server) Promote() error {
	cmd, err := command("pg_ctl", "promote", "-D", s.data())
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("promote: %w: %s", err, out)
	}
	return nil
}

// Set changes a setting of the running server.
func (s *Server) Set(name, value string) error {
	psql, err := command("psql", "-q", "-h", s.Dir, "-U", "spoolgore", "-d", "postgres",
		"-c", fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value), "-c", "SELECT pg_reload_conf()")
	if err != nil {
		return err
	}
	if out, err := psql.CombinedOutput(); err != nil {
		return fmt.Errorf("set %s: %w: %s", name, err, out)
	}
	return nil
}

// Remove ends the server and removes its directory.
func (s *Server) Remove() {
	s.Crash()
	_ = os.RemoveAll(s.Dir)
}

// URL returns the address of a database.
func (s *Server) URL(name string) string {
	return "postgres://spoolgore@/" + name + "?host=" + s.Dir
}

// Create makes a database and returns its address.
func (s *Server) Create(name string) (string, error) {
	cmd, err := command("createdb", "-h", s.Dir, "-U", "spoolgore", name)
	if err != nil {
		return "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("createdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return s.URL(name), nil
}
