//go:build unix

package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore"
)

// runHook runs the command for so many messages, and returns the log.
func runHook(t *testing.T, command string, limit time.Duration, messages int) string {
	t.Helper()
	var log bytes.Buffer
	f := newOnFail(command, limit, slog.New(slog.NewTextHandler(&log, nil)))
	f.Observe(spoolgore.Event{Kind: spoolgore.EventFailed, Path: "/not/kept"}) // is told of by recipient, and then of the message
	for i := range messages {
		f.Observe(spoolgore.Event{Kind: spoolgore.EventKept, Path: fmt.Sprintf("/nowhere/%d", i), From: "a@example.com", Err: errors.New("the reason")})
	}
	f.Start()()
	return log.String()
}

func TestOnFailCommands(t *testing.T) {
	for name, tt := range map[string]struct {
		command  string
		limit    time.Duration
		messages int
		say      string
		times    int
	}{
		"fails":                    {"exit 3", time.Minute, 2, "exit status 3", 2},
		"is not to be found":       {"/no/such/command", time.Minute, 1, "exit status 127", 1},
		"is cut off at the end":    {"sleep 100", 50 * time.Millisecond, 1000, "err=\"the daemon ends\"", 1},
		"is asked for too often":   {":", time.Minute, onFailQueue + 2, "too many messages wait", 2},
		"says too much":            {"head -c 1000000 /dev/zero | tr '\\0' x", time.Minute, 1, "output=" + strings.Repeat("x", onFailSaid) + "\n", 1},
		"why-file is gone already": {"echo $SPOOLGORE_REASON", time.Minute, 1, "output=\"the reason\"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			log := runHook(t, tt.command, tt.limit, tt.messages)
			n := strings.Count(log, tt.say)
			is.True(n == tt.times || name == "is cut off at the end" && n > 0) // the log says so
			is.True(!strings.Contains(log, "/not/kept"))
		})
	}
}

func TestOnFailCommandHasALimit(t *testing.T) {
	is := is.New(t)
	f := newOnFail("sleep 100", 50*time.Millisecond, slog.New(slog.DiscardHandler))
	err := f.runFor(t.Context(), spoolgore.Event{Kind: spoolgore.EventKept, Path: "/nowhere", Err: errors.New("the reason")})
	is.True(err != nil)
	is.Equal(err.Error(), "not finished within 50ms")
}

func TestFactsFitTheEnvironment(t *testing.T) {
	is := is.New(t)
	path := filepath.Join(t.TempDir(), "m")
	var to []string
	for i := range 10_000 {
		to = append(to, fmt.Sprintf(`{"Address":"recipient%d@example.org","GivenUp":true}`, i))
	}
	is.NoErr(os.WriteFile(path+".json", []byte(`{"Reason":"a\u0000b","To":[`+strings.Join(to, ",")+`]}`), 0o600))
	env := facts(spoolgore.Event{Path: path})
	is.Equal(len(env), 6)
	for _, v := range env {
		is.True(len(v) < 128<<10) // the limit of Linux for one of them
		is.True(!strings.Contains(v, "\x00"))
	}
	is.True(strings.HasPrefix(env[3], "SPOOLGORE_TO=recipient0@example.org\nrecipient1@example.org\n"))
	is.True(strings.HasSuffix(env[3], "@example.org\n")) // whole addresses
}

func TestOnFailCommandInheritsNoSecrets(t *testing.T) {
	is := is.New(t)
	t.Setenv("SPOOLGORE_SMTPPASSWORD", "hunter2")
	log := runHook(t, "echo got:$SPOOLGORE_SMTPPASSWORD:$SPOOLGORE_FROM", time.Minute, 1)
	is.True(strings.Contains(log, "got::a@example.com"))
}
