//go:build unix

package main

import (
	"bytes"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A client of -listen cannot fill the disk: the size of a message is limited by default, and room for the daemon is
// kept.
func TestListenLeavesRoom(t *testing.T) {
	is := is.New(t)
	c := &config.Config{Dir: t.TempDir()}
	in, err := newTCPIntake(c, slog.New(slog.DiscardHandler))
	is.NoErr(err)
	in.aliases = ""
	is.Equal(in.maxSize, int64(50<<20))
	env := message.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	room := int64(4 << 10)
	in.room = func(*spooldir.Dir) (int64, bool) { return room, true }
	accept := func(size int) error {
		server, err := in.server("")
		is.NoErr(err)
		return server.Accept(env, strings.NewReader("Subject: x\r\n\r\n"+strings.Repeat("text\r\n", size/6)))
	}
	is.NoErr(accept(1 << 10))
	err = accept(64 << 10)
	is.True(err != nil && strings.Contains(err.Error(), errNoRoom.Error()))
	room = -1 // other files have filled the disk
	is.True(accept(1<<10) != nil)
	var names bytes.Buffer
	entries, err := os.ReadDir(c.Dir)
	is.NoErr(err)
	for _, e := range entries {
		if !e.IsDir() {
			names.WriteString(e.Name() + "\n")
		}
	}
	is.Equal(strings.Count(names.String(), "\n"), 1) // the one message for which there was room
}

// The messages that a user sends by -listen count by the user id of the connection, as the files belong to the daemon.
// A message that has left the spool does not count. A message from before the start counts.
func TestListenQuota(t *testing.T) {
	is := is.New(t)
	c := &config.Config{Dir: t.TempDir(), From: map[string]config.Setting{
		"userfiles": {Value: "2"}, "usersize": {Value: "8K"},
	}}
	var in tcpIntake
	begin := func() {
		var err error
		in, err = newTCPIntake(c, slog.New(slog.DiscardHandler))
		is.NoErr(err)
		in.aliases = ""
		in.quota.load()
	}
	env := message.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	accept := func(uid string, size int) error {
		server, err := in.server(uid)
		is.NoErr(err)
		return server.Accept(env, strings.NewReader("Subject: x\r\n\r\n"+strings.Repeat("text\r\n", size/6)))
	}
	begin()
	is.True(strings.Contains(accept("1000", 16<<10).Error(), errUserSize.Error()))
	is.NoErr(accept("1000", 1<<10))
	is.NoErr(accept("1000", 1<<10))
	is.True(strings.Contains(accept("1000", 1<<10).Error(), "2 messages of yours wait in the spool; the limit is 2"))
	is.NoErr(accept("1001", 1<<10)) // another user
	for range 3 {
		is.NoErr(accept("0", 16<<10)) // root has no limit
		is.NoErr(accept("", 1<<10))   // an unknown client has no limit either
	}
	begin()
	is.True(accept("1000", 1<<10) != nil) // the messages from before the start count
	for name := range in.quota.users["1000"].sizes {
		is.NoErr(os.MkdirAll(in.dir.File("failed"), 0o700))
		is.NoErr(os.Rename(in.dir.File(name), in.dir.File("failed/"+name)))
		break
	}
	in.quota.users["1000"].looked = time.Time{}
	is.True(accept("1000", 1<<10) != nil) // failed messages count
	begin()
	is.True(accept("1000", 1<<10) != nil) // failed messages from before the start count, too
	is.NoErr(os.Rename(in.dir.File("failed"), in.dir.File("hold")))
	begin()
	is.True(accept("1000", 1<<10) != nil) // held messages count
	is.NoErr(os.RemoveAll(in.dir.File("hold")))
	in.quota.users["1000"].looked = time.Time{}
	is.NoErr(accept("1000", 1<<10))
}

// A file of one user whose envelope line names another user does not count for the other user.
func TestListenQuotaIsOfTheOwner(t *testing.T) {
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root can give a file away")
	}
	is := is.New(t)
	c := &config.Config{Dir: t.TempDir(), From: map[string]config.Setting{"userfiles": {Value: "1"}}}
	in, err := newTCPIntake(c, slog.New(slog.DiscardHandler))
	is.NoErr(err)
	in.aliases = ""
	server, err := in.server("1000")
	is.NoErr(err)
	env := message.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	is.NoErr(server.Accept(env, strings.NewReader("Subject: x\r\n\r\nx\r\n")))
	for name := range in.quota.users["1000"].sizes {
		is.NoErr(os.Chown(in.dir.File(name), 1001, -1))
	}
	in, err = newTCPIntake(c, slog.New(slog.DiscardHandler))
	is.NoErr(err)
	in.quota.load()
	is.Equal(len(in.quota.users), 0)
}
