//go:build unix

package hooks

import (
	"bytes"
	"encoding/json"
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

// runner returns a Runner that logs to log.
func runner(limit time.Duration, log *slog.Logger, hooks ...Hook) *Runner {
	r := New(hooks, Options{Dir: "/nowhere", Log: log})
	r.limit = limit
	return r
}

// runHook runs the command for that many failed messages, and returns the log.
func runHook(t *testing.T, command string, limit time.Duration, messages int) string {
	t.Helper()
	var log bytes.Buffer
	f := runner(limit, slog.New(slog.NewTextHandler(&log, nil)), OnFail(command))
	// the event of a recipient; the event of the message follows
	f.Observe(spoolgore.Event{Kind: spoolgore.EventFailed, Path: "/not/kept"})
	for i := range messages {
		f.Observe(spoolgore.Event{Kind: spoolgore.EventKept, Path: fmt.Sprintf("/nowhere/%d", i), From: "a@example.com",
			ID: "order 17", MessageID: "<1@example.com>", Err: errors.New("the reason")})
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
		"is asked for too often":   {":", time.Minute, maxWaiting + 2, "too many events wait", 2},
		"says too much":            {"head -c 1000000 /dev/zero | tr '\\0' x", time.Minute, 1, "output=" + strings.Repeat("x", maxSaid) + "\n", 1},
		"why-file is gone already": {"echo $SPOOLGORE_REASON", time.Minute, 1, "output=\"the reason\"", 1},
		"gets the Message-ID":      {"echo \"$SPOOLGORE_MESSAGE_ID\"", time.Minute, 1, "output=<1@example.com>", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			log := runHook(t, tt.command, tt.limit, tt.messages)
			n := strings.Count(log, tt.say)
			is.True(n == tt.times || name == "is cut off at the end" && n > 0) // the number of log lines
			is.True(!strings.Contains(log, "/not/kept"))
		})
	}
}

func TestCommandHasALimit(t *testing.T) {
	is := is.New(t)
	f := runner(50*time.Millisecond, slog.New(slog.DiscardHandler))
	err := f.do(t.Context(), &job{hook: OnFail("sleep 100"), event: Event{Event: Failed, Path: "/nowhere"}})
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
	ev := Event{Event: Failed, Path: path, Why: path + ".json"}
	ev.complete()
	is.Equal(len(ev.To), 10_000) // the JSON has all recipients
	for _, v := range ev.environ() {
		is.True(len(v) < 128<<10) // the limit of Linux for one variable
		is.True(!strings.Contains(v, "\x00"))
		if text, ok := strings.CutPrefix(v, "SPOOLGORE_TO="); ok {
			is.True(strings.HasPrefix(text, "recipient0@example.org\nrecipient1@example.org\n"))
			is.True(strings.HasSuffix(text, "@example.org\n")) // no address is cut
		}
	}
}

func TestCommandInheritsNoSecrets(t *testing.T) {
	is := is.New(t)
	t.Setenv("SPOOLGORE_SMTPPASSWORD", "hunter2")
	log := runHook(t, "echo got:$SPOOLGORE_SMTPPASSWORD:$SPOOLGORE_FROM", time.Minute, 1)
	is.True(strings.Contains(log, "got::a@example.com"))
}

func TestParse(t *testing.T) {
	age := func(text string) (time.Duration, error) { return time.ParseDuration(text) }
	for text, want := range map[string]Hook{
		"failed=cmd":                {Events: []string{Failed}, Command: "cmd"},
		"failed,relay-down=a=b,c d": {Events: []string{Failed, RelayDown}, Command: "a=b,c d"},
		"oldest=2h=/bin/x -a=1":     {Events: []string{Oldest}, Age: 2 * time.Hour, Command: "/bin/x -a=1"},
		"oldest=2h,relay-up=cmd":    {Events: []string{Oldest, RelayUp}, Age: 2 * time.Hour, Command: "cmd"},
		"failed,relay-down,relay-up,oldest=2h=curl -d @- https://example.com": {
			Events: []string{Failed, RelayDown, RelayUp, Oldest}, Age: 2 * time.Hour, Command: "curl -d @- https://example.com"},
	} {
		h, err := Parse(text, age)
		if err != nil || fmt.Sprint(h) != fmt.Sprint(want) {
			t.Errorf("%s: %v, %v", text, h, err)
		}
	}
	for _, text := range []string{
		"", "cmd", "failed", "failed=", "failed,=x", "fail=x", "oldest=cmd", "oldest=2h", "oldest=-1x=cmd", "failed,oldest,relay-up=x",
	} {
		if h, err := Parse(text, age); err == nil {
			t.Errorf("%q is %v, not an error", text, h)
		}
	}
}

// A command gets each of its events as one line of JSON, and no other events.
func TestCommandsGetTheirEvents(t *testing.T) {
	is := is.New(t)
	out := filepath.Join(t.TempDir(), "out")
	r := runner(time.Minute, slog.New(slog.DiscardHandler),
		Hook{Events: []string{RelayDown, RelayUp}, Command: "cat >>" + out}, Hook{Events: []string{Failed}, Command: "echo no >>" + out})
	since := time.Now()
	down := spoolgore.Health{Relays: []spoolgore.RelayHealth{{Name: "a:25", Trouble: "refused", Since: since}, {Name: "b:25"}}}
	up := spoolgore.Health{Relays: []spoolgore.RelayHealth{{Name: "a:25"}, {Name: "b:25"}}}
	other := spoolgore.Health{Relays: []spoolgore.RelayHealth{{Name: "b:25"}}}
	for _, h := range []spoolgore.Health{up, down, down, up, up, down, other, other} {
		r.Look(h)
	}
	r.Start()()
	text, err := os.ReadFile(out)
	is.NoErr(err)
	var got []string
	for line := range strings.Lines(string(text)) {
		var ev Event
		is.NoErr(json.Unmarshal([]byte(line), &ev))
		got = append(got, ev.Event+" "+ev.Relay+" "+ev.Reason)
		is.Equal(ev.Spool, "/nowhere")
		is.True(ev.Since.Equal(since))
	}
	// one event for each change
	is.Equal(got, []string{"relay-down a:25 refused", "relay-up a:25 refused", "relay-down a:25 refused",
		"relay-up a:25 " + removedRelay})
}

// A command that fails is run again, and other commands do not wait for it.
func TestFailingCommandIsTriedAgain(t *testing.T) {
	is := is.New(t)
	var log bytes.Buffer
	r := runner(time.Minute, slog.New(slog.NewTextHandler(&log, nil)), OnFail("x"))
	for range 2 {
		r.Observe(spoolgore.Event{Kind: spoolgore.EventKept, Path: "/nowhere/m", Err: errors.New("why")})
	}
	first, _, _ := r.next()
	for n := range len(pauses) {
		r.failed(first, errors.New("exit status 1"))
		second, wait, ok := r.next()
		is.True(ok && wait == 0 && second.tries == 0) // the second job is due, the failed one is not
		r.jobs = append(r.jobs, second)
		i := len(r.jobs) - 2
		is.Equal(r.jobs[i].tries, n+1)
		is.True(time.Until(r.jobs[i].due) > pauses[n]/2)
		first = r.jobs[i]
		r.jobs = append(r.jobs[:i], r.jobs[i+1:]...)
	}
	r.failed(first, errors.New("exit status 1"))
	is.Equal(len(r.jobs), 1) // given up
	is.Equal(strings.Count(log.String(), "hook command failed; retrying"), len(pauses))
	is.Equal(strings.Count(log.String(), "\"hook command failed\""), 1)
}

// The event oldest comes once when a message has waited for the given age, and again only after no message had waited
// so long.
func TestOldestMessage(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "m")
	is.NoErr(os.WriteFile(path, []byte("To: a@example.com\n\n"), 0o600))
	old := time.Now().Add(-3 * time.Hour)
	is.NoErr(os.Chtimes(path, old, old))
	r := New([]Hook{{Events: []string{Oldest}, Age: 2 * time.Hour, Command: "x"}, {Events: []string{Oldest}, Age: 4 * time.Hour, Command: "y"}},
		Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	look := func(files int) {
		now := time.Now()
		r.states.next = time.Time{}
		if r.startCount(files, now) {
			r.count(now)
		}
	}
	look(1)
	look(1)
	is.Equal(len(r.jobs), 1)
	is.Equal(r.jobs[0].hook.Command, "x")
	ev := r.jobs[0].event
	is.Equal(ev.Event, Oldest)
	is.Equal(ev.File, "m")
	is.Equal(ev.Waiting, 1)
	is.True(ev.Age >= 3*3600 && ev.Age < 4*3600)
	look(0) // the spool is empty
	look(1)
	is.Equal(len(r.jobs), 2)
}

// A file that a program is still writing, by the patterns of the daemon, is no message that waits.
func TestOldestIsNoTemporaryFile(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "m.own")
	is.NoErr(os.WriteFile(path, []byte("To: a@example.com\n\n"), 0o600))
	old := time.Now().Add(-30 * time.Minute)
	is.NoErr(os.Chtimes(path, old, old))
	hook := Hook{Events: []string{Oldest}, Age: time.Minute, Command: "x"}
	r := New([]Hook{hook}, Options{Dir: dir, Temporary: []string{"*.own"}, Log: slog.New(slog.DiscardHandler)})
	r.count(time.Now())
	is.Equal(len(r.jobs), 0)
}

func TestFailedMessagesLeaveRoomForAlarms(t *testing.T) {
	is := is.New(t)
	var log bytes.Buffer
	hook := Hook{Events: []string{Failed, RelayDown, RelayUp}, Command: ":"}
	r := runner(time.Minute, slog.New(slog.NewTextHandler(&log, nil)), hook)
	for range maxWaiting + 5 {
		r.add(Event{Event: Failed}, nil)
	}
	r.add(Event{Event: RelayDown}, nil)
	r.add(Event{Event: RelayUp}, nil)
	is.Equal(strings.Count(log.String(), "too many events wait"), 5) // failed messages
	for _, want := range []string{RelayDown, RelayUp, Failed} {
		j, _, ok := r.next()
		is.True(ok)
		is.Equal(j.event.Event, want) // in order, before the failed messages that wait for longer
	}
	for range 3 * maxWaiting {
		r.add(Event{Event: RelayDown}, nil)
	}
	is.True(len(r.jobs) <= 2*maxWaiting)
}
