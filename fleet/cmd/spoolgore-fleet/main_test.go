package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
	"github.com/unbit/spoolgore/internal/smtptest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	shared.Close()
	os.Exit(code)
}

// caller runs commands on a database.
type caller struct {
	t  *testing.T
	db string
}

// call returns the output of a command and its exit code.
func (c caller) call(args ...string) (out, errs string, code int) {
	c.t.Helper()
	var o, e strings.Builder
	err := run(c.t.Context(), append([]string{"-db", c.db, "-name", "h1"}, args...), strings.NewReader(""), &o, &e)
	var x exitCode
	switch {
	case errors.As(err, &x):
		code = int(x)
	case err != nil:
		code = -1
		e.WriteString(err.Error())
	}
	return o.String(), e.String(), code
}

// ok returns the output of a command that must succeed.
func (c caller) ok(args ...string) string {
	c.t.Helper()
	out, errs, code := c.call(args...)
	if code != 0 {
		c.t.Fatalf("%v: exit code %d: %s%s", args, code, out, errs)
	}
	return out
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within the limit: ", what)
		}
	}
}

// A spool is drained into the queue. The commands of spoolgore list, show, hold, release, redirect, trace and delete
// its message.
func TestCommands(t *testing.T) {
	is := is.New(t)
	c, dir := caller{t, shared.DB(t)}, t.TempDir()
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org", "c@example.org"}}
	const text = "Subject: hello\nMessage-ID: <one@example.com>\n\nx\n"
	_, err := spoolgore.New(dir, spoolgore.Options{}).Put(t.Context(), env, strings.NewReader(text))
	is.NoErr(err)
	c.ok("drain", dir)
	name, rest, _ := strings.Cut(c.ok("list"), "\t")
	is.True(strings.HasPrefix(rest, "waiting\t"))                                                   // state
	is.True(strings.HasSuffix(rest, "\t0\t-\ta@example.com\tb@example.org,c@example.org\t-\th1\n")) // host
	is.Equal(c.ok("list", "-from", "x@example.com"), "")
	shown := c.ok("show", name)
	for _, line := range []string{"host         h1", "to           c@example.org: waits", "<one@example.com>", "Subject: hello"} {
		is.True(strings.Contains(shown, line))
	}
	is.True(strings.HasSuffix(strings.ReplaceAll(c.ok("show", "-raw", name), "\r\n", "\n"), text))
	is.Equal(c.ok("hold", name), "held "+name+"\n")
	is.True(strings.HasPrefix(c.ok("list"), "hold/"+name+"\theld\t"))
	is.Equal(c.ok("redirect", "hold/"+name, "d@example.org"), "redirected to d@example.org: hold/"+name+"\n")
	is.Equal(c.ok("release", "-all", "-from", "@example.com"), "released hold/"+name+"\n")
	is.True(strings.Contains(c.ok("list"), "\twaiting\t"))
	for _, query := range []string{"<one@example.com>", "d@example.org", "a@example.com", name} {
		is.True(strings.Contains(c.ok("trace", query), "d@example.org"))
	}
	_, errs, code := c.call("trace", "b@example.org")
	is.Equal(code, 1)
	is.True(strings.Contains(errs, "nothing is known of b@example.org"))
	is.True(strings.Contains(c.ok("stats"), "waiting             1"))
	is.True(strings.Contains(c.ok("flush"), "told the workers"))
	is.Equal(c.ok("hosts"), "") // no worker
	_, _, code = c.call("delete", name)
	is.Equal(code, 64) // without a terminal and -y
	is.Equal(c.ok("delete", "-y", name), "deleted "+name+"\n")
	is.Equal(c.ok("list"), "")
	_, errs, code = c.call("delete", "-y", name)
	is.Equal(code, 1)
	is.True(strings.Contains(errs, "no message of that name"))
}

// relayOf returns the address of a relay that refuses bad@ and defers later@ until the returned function is called.
func relayOf(t *testing.T) (relay *smtptest.Relay, addr string, relent func()) {
	var mu sync.Mutex
	good := false
	relay = &smtptest.Relay{Reply: func(verb, arg string) string {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case verb == "RCPT" && arg == "bad@example.org" && !good:
			return "550 5.1.1 no such user"
		case verb == "RCPT" && arg == "later@example.org" && !good:
			return "450 4.2.1 not now"
		}
		return ""
	}}
	return relay, relay.Listen(t), func() {
		mu.Lock()
		defer mu.Unlock()
		good = true
	}
}

// Outcomes are known after the message is gone. Failed and deferred messages are shown with their attempts, and tried
// again.
func TestCommandsAboutSentMail(t *testing.T) {
	is := is.New(t)
	c := caller{t, shared.DB(t)}
	relay, addr, relent := relayOf(t)
	q, err := fleet.Open(t.Context(), fleet.Options{DB: c.db, Name: "h1"})
	is.NoErr(err)
	defer q.Close()
	names := map[string]string{}
	for _, to := range []string{"good", "bad", "later"} {
		names[to], err = q.Put(t.Context(), spoolgore.Envelope{From: "a@example.com", To: []string{to + "@example.org"}},
			strings.NewReader("Subject: x\nMessage-ID: <"+to+"@example.com>\n\nx\n"))
		is.NoErr(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-db", c.db, "-name", "w1", "-work", "-smtpaddr", addr}, nil, nil, nil)
	}()
	defer func() {
		stop()
		is.NoErr(<-ended)
	}()
	eventually(t, "good and the report are sent", func() bool { return len(relay.Messages()) == 2 })
	eventually(t, "later is deferred", func() bool { return strings.Contains(c.ok("list"), "\tdeferred\t") })
	out := c.ok("trace", "<good@example.com>")
	is.True(strings.Contains(out, "(no longer in the queue)"))
	is.True(strings.Contains(out, "delivered   good@example.org: "))
	is.True(strings.Contains(c.ok("trace", "bad@example.org"), "failed      bad@example.org: "))
	is.True(strings.Contains(c.ok("list", "-failed"), "failed/"+names["bad"]+"\tfailed\t"))
	is.True(strings.Contains(c.ok("show", names["bad"]), "550 5.1.1 no such user"))
	is.True(strings.Contains(c.ok("show", "failed/"+names["bad"]), "given up     2")) // with the time of giving up
	is.True(strings.Contains(c.ok("list", "-reason", "not now"), names["later"]+"\tdeferred\t"))
	var line struct{ Outcome, To string }
	is.NoErr(json.Unmarshal([]byte(c.ok("trace", "-json", "good@example.org")), &line))
	is.Equal(line.Outcome+" "+line.To, "sent good@example.org")
	is.True(strings.Contains(c.ok("stats"), "1 worker, up "))
	eventually(t, "the workers have reported the relay", func() bool { return strings.Contains(c.ok("stats"), "RELAYS") })
	check, _, code := c.call("check")
	is.Equal(code, 0)
	for _, text := range []string{"fsync and full_page_writes are on", "warning  replication: no standby is seen",
		"warning  1 worker runs", "ok       relay " + addr, "1 messages have failed"} {
		is.True(strings.Contains(check, text))
	}
	is.True(strings.Contains(c.ok("hosts"), "w1\talive\t"))
	relent()
	is.True(strings.Contains(c.ok("flush"), "1 of it deferred"))
	is.Equal(c.ok("retry", "-failed"), "to be tried again: failed/"+names["bad"]+"\n")
	eventually(t, "all are sent", func() bool { return c.ok("list", "-names") == "" && c.ok("list", "-failed") == "" })
	is.Equal(len(relay.Messages()), 4)
}

func TestCheckFindsProblems(t *testing.T) {
	is := is.New(t)
	c := caller{t, shared.DB(t)}
	c.ok("pause")
	out, _, code := c.call("check")
	is.Equal(code, 1)
	is.True(strings.Contains(out, "problem  no worker runs"))
	is.True(strings.Contains(out, "warning  the fleet is paused"))
}

func TestWrongUsage(t *testing.T) {
	is := is.New(t)
	var out strings.Builder
	for _, args := range [][]string{{}, {"-nonsense"}, {"schema", "x"}, {"schema", "1", "2"}, {"help", "nonsense"}} {
		is.True(errors.Is(run(context.Background(), args, nil, &out, &out), errUsage))
	}
	is.NoErr(run(context.Background(), []string{"schema"}, nil, &out, &out))
	is.True(strings.Contains(out.String(), "CREATE SCHEMA"))
	out.Reset()
	is.NoErr(run(context.Background(), []string{"help", "list"}, nil, &out, &out))
	is.True(strings.HasPrefix(out.String(), "usage: spoolgore-fleet list [flags]\n"))
	is.True(!strings.Contains(out.String(), "-statusfile"))
	out.Reset()
	is.NoErr(run(context.Background(), []string{"-h"}, nil, &out, &out))
	is.True(strings.Contains(out.String(), "\n  redirect "))
	c := caller{t, "postgres://nobody@" + net.JoinHostPort("127.0.0.1", "1") + "/x"}
	_, _, code := c.call("list")
	is.Equal(code, -1) // no database
	c.db = shared.DB(t)
	for _, args := range [][]string{{"drain"}, {"pause", "x"}, {"nonsense"}} {
		_, errs, _ := c.call(args...)
		is.True(strings.HasPrefix(errs, "usage: "))
	}
}

// A start that waits for the database ends as a running process does.
func TestAStartThatWaitsCanBeEnded(t *testing.T) {
	is := is.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var out strings.Builder
	args := []string{"-db", "postgres://nobody@" + net.JoinHostPort("127.0.0.1", "1") + "/x", "-work"}
	is.NoErr(run(ctx, args, nil, &out, &out))
}

// The demo loses no message, and keeps the limit of the relay.
func TestDemo(t *testing.T) {
	is := is.New(t)
	shared.Server(t) // skips the test without PostgreSQL
	program := filepath.Join(t.TempDir(), "spoolgore-fleet")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%s", out)
	}
	out, err = exec.Command(program, "demo").CombinedOutput()
	t.Logf("%s", out)
	is.NoErr(err)
	is.True(strings.Contains(string(out), "put 300, lost 0, "))
}

// docs/fleet.md has every flag and every command.
func TestTheDocumentHasEveryFlagAndCommand(t *testing.T) {
	text, err := os.ReadFile("../../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	new(flags).add(set)
	set.VisitAll(func(f *flag.Flag) {
		if !regexp.MustCompile("(?m)^\\| .*`-" + f.Name + "\\b.*` \\|").Match(text) {
			t.Errorf("docs/fleet.md does not have -%s", f.Name)
		}
	})
	commands := []string{"hosts", "check", "pause", "resume", "drain", "schema", "demo", "help"}
	for _, c := range fleet.Commands() {
		commands = append(commands, c[0])
	}
	for _, name := range commands {
		if !regexp.MustCompile("(?m)^\\| .*`" + name + "\\b.*` \\|").Match(text) {
			t.Errorf("docs/fleet.md does not have the command %s", name)
		}
	}
}
