//go:build unix

package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A client of -listen cannot fill the disk: a message has a limit by default, and room for the daemon stays.
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
	room = -1 // somebody else has filled the disk
	is.True(accept(1<<10) != nil)
	var names bytes.Buffer
	entries, err := os.ReadDir(c.Dir)
	is.NoErr(err)
	for _, e := range entries {
		if !e.IsDir() {
			names.WriteString(e.Name() + "\n")
		}
	}
	is.Equal(strings.Count(names.String(), "\n"), 1) // the message that had room
}
