//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// runSpoolOf makes the test process hold the lock of a spool. With signs, it also writes the state file of a daemon.
func runSpoolOf(t *testing.T, spool string, signs *daemonstate.State) {
	t.Helper()
	d, err := spooldir.New(spool)
	must(t, err)
	unlock, err := d.Lock().Acquire()
	must(t, err)
	t.Cleanup(unlock)
	if signs != nil {
		writeSigns(t, spool, signs)
	}
}

// writeSigns writes the state file of a daemon. Without a PID, the process of the test is the daemon.
func writeSigns(t *testing.T, spool string, signs *daemonstate.State) {
	t.Helper()
	if signs.PID == 0 {
		signs.PID = os.Getpid()
	}
	if signs.Written.IsZero() {
		signs.Written = time.Now()
	}
	var b bytes.Buffer
	must(t, daemonstate.Write(&b, *signs))
	path := filepath.Join(spool, daemonstate.Name)
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	must(t, os.Chtimes(path, signs.Written, signs.Written)) // the modification time is checked, too
}

// waiting makes a spool with one message that has waited for that time.
func waiting(t *testing.T, long time.Duration) string {
	t.Helper()
	spool := t.TempDir()
	must(t, os.WriteFile(filepath.Join(spool, spooldir.LockFile), nil, 0o600))
	path := drop(t, spool, "one.eml", mail("To: ann@example.com"))
	fi, err := os.Stat(path)
	must(t, err)
	writeJSON(t, filepath.Join(spool, ".spoolgore.js"), spoolgore.Status{path: spoolgore.Message{
		From: "a@x.org", Enqueued: time.Now().Add(-long), Size: fi.Size(), Modified: fi.ModTime(),
		To: []spoolgore.Recipient{{Address: "ann@example.com", Error: "450 4.2.1 a|b"}},
	}})
	return spool
}

// anAge is a pattern for an age as check prints it.
const anAge = `\d+[smh]\d*[sm]?`

func TestCheck(t *testing.T) {
	t.Parallel()
	well := daemonstate.Relay{Name: "a:25", Limit: 20}
	ill := func(name, senders string, since time.Duration) daemonstate.Relay {
		return daemonstate.Relay{Name: name, Senders: senders, Trouble: "dial: refused", Since: time.Now().Add(-since)}
	}
	for name, row := range map[string]struct {
		oldest time.Duration      // age of the oldest message; zero: no message waits
		signs  *daemonstate.State // nil: no daemon runs
		args   []string
		more   func(t *testing.T, spool string)
		code   int
		say    string // text in the line; AGE stands for any age, as time passes during the test
		not    string // text that is not in the line
	}{
		"all is well":      {time.Minute, &daemonstate.State{Relays: []daemonstate.Relay{well}, PerMinute: 2.5}, nil, nil, 0, "1 message waiting, the oldest AGE | oldest=AGE;900;7200;0 waiting=1;;;0 held=0;;;0 failed=0;;;0 failed_24h=0;10;100;0 relays_resting=0;;;0 sent_per_minute=2.5;;;0", ""},
		"empty, no daemon": {0, nil, nil, nil, 1, "no daemon runs; 0 messages waiting", ""},
		"empty, cron":      {0, nil, []string{"-nodaemon"}, nil, 0, "0 messages waiting", "daemon"},
		"no spool": {0, nil, []string{"-nodaemon"}, func(t *testing.T, spool string) {
			must(t, os.Remove(filepath.Join(spool, spooldir.LockFile)))
		}, 3, "is no spool", ""},
		"no spool, with files": {3 * time.Hour, nil, nil, func(t *testing.T, spool string) {
			must(t, os.Remove(filepath.Join(spool, spooldir.LockFile)))
		}, 3, "is no spool", "waits"},
		"report refused": {0, &daemonstate.State{}, nil, func(t *testing.T, spool string) {
			must(t, os.Mkdir(filepath.Join(spool, "failed"), 0o700))
			// so that the status file is fresh: making the files takes a while
			must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{}"), 0o600))
			must(t, os.WriteFile(filepath.Join(spool, "failed", "r"), []byte(mail()), 0o600))
			must(t, os.WriteFile(filepath.Join(spool, "failed", "r.json"), []byte(`{"From":"","To":[{"Address":"a@x.org"}]}`), 0o600))
		}, 1, "1 report to senders could not be delivered in 24 hours, see failed/r", ""},
		"only the daemon": {3 * time.Hour, &daemonstate.State{Paused: true, Relays: []daemonstate.Relay{ill("a:25", "", 3*time.Hour)}}, []string{"-onlydaemon"}, func(t *testing.T, spool string) {
			drop(t, spool, "one.eml.part", mail("To: ann@example.com"))
			giveUp(200, time.Hour)(t, spool)
			must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{"), 0o600))
		}, 0, "SPOOLGORE OK - the daemon runs", "waiting"},
		"only the daemon, silent": {0, &daemonstate.State{Written: time.Now().Add(-10 * time.Minute)}, []string{"-onlydaemon"}, nil, 2, "has been silent for AGE", ""},
		"only the daemon, none":   {0, nil, []string{"-onlydaemon"}, nil, 2, "no daemon runs", ""},
		"old":                     {16 * time.Minute, &daemonstate.State{}, nil, nil, 1, "one.eml waits for AGE: 450 4.2.1 a/b; 1 message", ""},
		"too old":                 {3 * time.Hour, &daemonstate.State{}, nil, nil, 2, "one.eml waits for AGE", ""},
		"limits":                  {3 * time.Hour, &daemonstate.State{}, []string{"-warn", "4h", "-crit", "2d"}, nil, 0, "oldest=AGE;14400;172800;0", ""},
		"dead daemon":             {time.Second, nil, nil, nil, 2, "no daemon runs, and mail waits", ""},
		"cron":                    {time.Second, nil, []string{"-nodaemon"}, nil, 0, "1 message waiting", "daemon"},
		"signs of the dead": {0, nil, nil, func(t *testing.T, spool string) {
			writeSigns(t, spool, &daemonstate.State{PID: 4194999, Paused: true, Written: time.Now().Add(-time.Hour)})
		}, 1, "no daemon runs", "paused"},
		"hangs":               {time.Second, &daemonstate.State{Written: time.Now().Add(-10 * time.Minute)}, nil, nil, 2, "has been silent for AGE", ""},
		"paused":              {time.Second, &daemonstate.State{Paused: true}, nil, nil, 1, "the daemon is paused", ""},
		"no signs":            {time.Second, &daemonstate.State{PID: 1}, nil, nil, 0, "waiting=1", "relays_resting"},
		"a relay unavailable": {time.Second, &daemonstate.State{Relays: []daemonstate.Relay{ill("a:25", "", time.Minute)}}, nil, nil, 0, "relays_resting=1", "at rest"},
		"one of two":          {time.Second, &daemonstate.State{Relays: []daemonstate.Relay{ill("a:25", "", 3*time.Hour), well}}, nil, nil, 1, "relay a:25 has been at rest for 3h: dial: refused", ""},
		"all that serve":      {time.Second, &daemonstate.State{Relays: []daemonstate.Relay{ill("b:25", "@x.org", 3*time.Hour), well}}, nil, nil, 2, "relay b:25 has been at rest", ""},
		"failed grows":        {0, &daemonstate.State{}, []string{"-failedwarn", "2"}, giveUp(3, time.Hour), 1, "3 messages given up in 24 hours", ""},
		"failed explodes":     {0, &daemonstate.State{}, []string{"-failedcrit", "3"}, giveUp(3, time.Hour), 2, "failed_24h=3;10;3;0", ""},
		"failed long ago":     {0, &daemonstate.State{}, []string{"-failedwarn", "1"}, giveUp(3, 48*time.Hour), 0, "failed=3;;;0 failed_24h=0;1;100;0", ""},
		"failed, whatever":    {0, &daemonstate.State{}, []string{"-failedwarn", "0", "-failedcrit", "0"}, giveUp(200, time.Hour), 0, "failed_24h=200;;;0", ""},
		"failed is long":      {0, &daemonstate.State{}, nil, fillFailed(1000, 100), 0, "failed=1000;;;0 failed_24h=0;", "keepfailed"},
		"failed, too long":    {0, &daemonstate.State{}, nil, fillFailed(1001, 100), 1, "failed/ has 1001 messages, 98K (see -keepfailed of the daemon); 0 messages waiting", ""},
		"failed is large":     {0, &daemonstate.State{}, nil, fillFailed(4, 1<<28), 0, "failed=4;;;0", "keepfailed"},
		"failed, too large":   {0, &daemonstate.State{}, nil, fillFailed(5, 1<<28), 1, "failed/ has 5 messages, 1.2G (see -keepfailed of the daemon)", ""},
		"broken status": {time.Second, &daemonstate.State{}, nil, func(t *testing.T, spool string) {
			must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{"), 0o600))
		}, 3, "status file", ""},
		"damaged status set aside": {0, &daemonstate.State{}, nil, func(t *testing.T, spool string) {
			must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js.bad-20260102T030405Z"), []byte("{"), 0o600))
		}, 1, ".spoolgore.js.bad-20260102T030405Z", ""},
		"a temporary name": {0, &daemonstate.State{}, nil, func(t *testing.T, spool string) {
			drop(t, spool, "one.eml.part", mail("To: ann@example.com"))
		}, 1, "1 file with a temporary name", "1 message"},
		"broken signs": {time.Second, &daemonstate.State{}, nil, func(t *testing.T, spool string) {
			must(t, os.WriteFile(filepath.Join(spool, daemonstate.Name), []byte("{"), 0o600))
		}, 3, "the state of the daemon cannot be read", ""},
		"no such spool":  {0, nil, nil, func(t *testing.T, spool string) { must(t, os.RemoveAll(spool)) }, 3, "there is no directory", "waiting"},
		"limits crossed": {0, nil, []string{"-warn", "3h"}, nil, 3, "-warn has to be less than -crit", ""},
		"no such flag":   {0, nil, []string{"-critical", "3h"}, nil, 3, "-critical", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			spool := t.TempDir()
			must(t, os.WriteFile(filepath.Join(spool, spooldir.LockFile), nil, 0o600))
			if row.oldest > 0 {
				spool = waiting(t, row.oldest)
			}
			if row.signs != nil {
				runSpoolOf(t, spool, row.signs)
			}
			if row.more != nil {
				row.more(t, spool)
			}
			r := operate(t, append([]string{"check", spool}, row.args...)...)
			t.Log(r.out)
			is.Equal(r.code, row.code)
			is.Equal(strings.Count(r.out, "\n"), 1) // one line
			is.True(strings.HasPrefix(r.out, "SPOOLGORE "+[]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[row.code]+" - "))
			is.True(regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(row.say), "AGE", anAge)).MatchString(r.out))
			is.True(row.not == "" || !strings.Contains(r.out, row.not))
			is.Equal(r.err, "") // a monitoring system reads standard output only
		})
	}
}

// giveUp makes n messages in failed/ that were given up at that age.
func giveUp(n int, long time.Duration) func(t *testing.T, spool string) {
	return func(t *testing.T, spool string) {
		must(t, os.Mkdir(filepath.Join(spool, "failed"), 0o700))
		// so that the status file is fresh: making the files takes a while
		must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{}"), 0o600))
		at := time.Now().Add(-long)
		for i := range n {
			path := filepath.Join(spool, "failed", string(rune('a'+i/26))+string(rune('a'+i%26)))
			must(t, os.WriteFile(path, []byte(mail()), 0o600))
			must(t, os.WriteFile(path+".json", []byte("{}"), 0o600))
			must(t, os.Chtimes(path+".json", at, at))
		}
	}
}

// fillFailed makes n sparse files of size octets in failed/, for messages that were given up two days ago.
func fillFailed(n int, size int64) func(t *testing.T, spool string) {
	return func(t *testing.T, spool string) {
		must(t, os.Mkdir(filepath.Join(spool, "failed"), 0o700))
		// so that the status file is fresh: making the files takes a while
		must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{}"), 0o600))
		at := time.Now().Add(-48 * time.Hour)
		for i := range n {
			path := filepath.Join(spool, "failed", fmt.Sprint("m", i))
			must(t, os.WriteFile(path, []byte(mail()), 0o600))
			must(t, os.Truncate(path, size))
			must(t, os.WriteFile(path+".json", []byte("{}"), 0o600))
			must(t, os.Chtimes(path+".json", at, at))
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	now := time.Now()
	runSpoolOf(t, spool, &daemonstate.State{
		Started: now.Add(-2 * time.Hour), Sent: 1234, Deferred: 5, Failed: 1, PerMinute: 0.5,
		Relays: []daemonstate.Relay{
			{Name: "mail:25", Trouble: "dial: \x1b[31mrefused", Since: now.Add(-10 * time.Minute), RestsUntil: now.Add(2*time.Minute + 30*time.Second)},
			{Name: "other:25", Senders: "@example.net", Connections: 1, Limit: 20},
		},
	})
	out := ok(t, "stats", spool)
	for _, words := range []string{
		"up 2h: 1234 sent, 5 deferred, 1 given up; 0.5 a minute; at this pace all is sent in 5",
		"deferred            1", "held                1", "failed              1",
		"WHO WAITS    TOTAL", "example.org      1     .     .     .     1", "example.com      1", "all              3",
		`rcpt: 450 4.2.1 \x1b[`, "relay mail:25: dial: connection refused", "not a message that can be sent: no sender",
		`mail:25  at rest, retrying in 2m; failing for 10m: dial: \x1b[31mrefused`, "other:25 for @example.net  well, 1 of 20 connections open",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("%q is not in the output:\n%s", words, out)
		}
	}
	is.True(!strings.Contains(out, "\x1b"))
	is.Equal(strings.Count(ok(t, "stats", "-n", "1", spool), "example."), 1+1) // a domain, and the name of the relay

	var s struct {
		States    map[string]struct{ Messages int }
		Waiting   int
		AgeLimits []float64
		Domains   []struct {
			Name  string
			Total int
			ByAge []int
		}
		Daemon     bool
		Signs      daemonstate.State
		EmptyAfter float64
	}
	is.NoErr(json.Unmarshal([]byte(ok(t, "stats", "-json", spool)), &s))
	is.Equal(s.States["deferred"].Messages, 1)
	is.Equal(s.Waiting, 3)
	is.Equal(len(s.Domains[0].ByAge), len(s.AgeLimits)+1)
	is.True(s.Daemon)
	is.Equal(s.Signs.Sent, uint64(1234))
	is.True(s.EmptyAfter > 3000 && s.EmptyAfter <= 3600) // the deferred message is tried again in an hour
}

func TestStatsOfAnEmptySpool(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	out := ok(t, "stats", t.TempDir())
	is.True(strings.Contains(out, "no daemon runs"))
	is.True(strings.Contains(out, "no messages"))
}

func TestFlushDuringAPause(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	relay, _ := deferring("451 4.2.1 not now")
	d := start(t, "-smtpaddr", relay.Listen(t), spool)
	d.logs("msg=started", 1)
	d.signal(syscall.SIGTSTP)
	eventually(t, "the daemon says that it is paused", func() bool {
		signs, _, err := daemonstate.Read(spool)
		return err == nil && signs.Paused
	})
	r := operate(t, "flush", spool)
	is.Equal(r.code, 0)
	is.True(strings.Contains(r.err, "the pause of the daemon is over"))
	d.logs("name=SIGURG action=flush", 1)
	d.stop()
}

func TestADaemonInAnotherContainer(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := waiting(t, time.Minute)
	runSpoolOf(t, spool, &daemonstate.State{PID: 1})
	// a process number of another container
	must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.lock"), []byte("4194999"), 0o600))
	// the command cannot send a signal to that process
	is.Equal(ok(t, "flush", spool), "to be tried again: one.eml\n")
	// the lock shows that a daemon runs
	is.Equal(operate(t, "check", spool).code, 0)
	is.Equal(ok(t, "retry", "-all", spool), "to be tried again: one.eml\n")
}
