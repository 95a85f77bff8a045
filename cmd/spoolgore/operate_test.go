//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// ran is the result of a command.
type ran struct {
	out, err string
	code     int
}

// operate runs the command in a process with empty standard input.
func operate(t *testing.T, args ...string) ran {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ran{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// ok is operate for a command that must succeed. It returns the output.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := operate(t, args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("spoolgore %q: exit code %d: %s", args, r.code, r.err)
	}
	return r.out
}

// aSpool makes the spool of a daemon that has run for a while: a message in each state except sending, and a new
// message.
func aSpool(t *testing.T) string {
	t.Helper()
	spool := t.TempDir()
	must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.lock"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(spool, "hold"), 0o700))
	must(t, os.Mkdir(filepath.Join(spool, "failed"), 0o700))
	status, now := spoolgore.Status{}, time.Now()
	add := func(place, name string, m spoolgore.Message) spoolgore.Message {
		path := filepath.Join(spool, place, name)
		must(t, os.WriteFile(path, []byte(mail("To: ann@example.com", "X-Evil: \x1b]0;title\a")), 0o600))
		fi, err := os.Stat(path)
		must(t, err)
		m.Size, m.Modified, m.MessageID = fi.Size(), fi.ModTime(), "<1@example.com>"
		return m
	}
	to := func(address string, attempts int, next time.Duration, err string) []spoolgore.Recipient {
		return []spoolgore.Recipient{{Address: address, Attempts: attempts, NextAttempt: now.Add(next), Error: err}}
	}
	status[filepath.Join(spool, "deferred.eml")] = add("", "deferred.eml", spoolgore.Message{
		From: "shop@example.com", To: to("ann@example.org", 3, time.Hour, "rcpt: 450 4.2.1 \x1b[31mlater"), Attempts: 3, Enqueued: now.Add(-3 * time.Hour),
		Cc: []spoolgore.Recipient{{Address: "bob@example.org", Status: spoolgore.StateDone, Relay: "mail:25", LastAttempt: now}},
	})
	status[filepath.Join(spool, "waiting.eml")] = add("", "waiting.eml", spoolgore.Message{
		From: "", To: to("ann@example.net", 0, -time.Second, "relay mail:25: dial: connection refused"), Enqueued: now.Add(-2 * time.Minute),
	})
	status[filepath.Join(spool, "later.eml")] = add("", "later.eml", spoolgore.Message{
		From: "shop@example.com", To: to("ann@example.com", 0, 48*time.Hour, ""), NotBefore: now.Add(48 * time.Hour), Enqueued: now.Add(-30 * time.Hour),
	})
	status[filepath.Join(spool, "held.eml")] = add("hold", "held.eml", spoolgore.Message{
		From: "shop@example.com", To: to("eve@example.com", 0, time.Hour, ""), Enqueued: now.Add(-5 * time.Hour), Held: now.Add(-time.Hour),
	})
	status[filepath.Join(spool, "broken.eml")] = add("", "broken.eml", spoolgore.Message{Error: "not a message that can be sent: no sender", Enqueued: now.Add(-time.Minute)})
	writeJSON(t, filepath.Join(spool, ".spoolgore.js"), status)
	m := add("failed", "failed.eml", spoolgore.Message{
		From: "shop@example.com", Attempts: 1, Enqueued: now.Add(-9 * time.Hour),
		To: []spoolgore.Recipient{{Address: "nobody@example.org", Status: spoolgore.StateDone, GivenUp: true, Error: "550 5.1.1 unknown"}},
	})
	writeJSON(t, filepath.Join(spool, "failed", "failed.eml.json"), spoolgore.Failure{Time: now.Add(-time.Hour), Reason: "nobody@example.org: 550 5.1.1 unknown", Message: m})
	must(t, os.WriteFile(filepath.Join(spool, "new.eml"), []byte(mail("To: new@example.com")), 0o600))
	return spool
}

// names returns the names that list prints.
func names(t *testing.T, args ...string) string {
	t.Helper()
	return strings.Join(strings.Fields(ok(t, append([]string{"list", "-names"}, args...)...)), " ")
}

func TestList(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	fields := make(map[string][]string)
	for line := range strings.Lines(ok(t, "list", spool)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		is.Equal(len(f), 9) // fields of each line
		fields[f[0]] = f
	}
	is.Equal(len(fields), 6)
	f := fields["deferred.eml"]
	is.Equal(f[1], "deferred")
	is.Equal(f[4], "3")
	// not bob, who has accepted the message; no escape sequences
	is.Equal(f[6:], []string{"shop@example.com", "ann@example.org", `rcpt: 450 4.2.1 \x1b[31mlater`})
	_, err := time.Parse(time.RFC3339, f[5])
	is.NoErr(err)
	is.Equal(fields["waiting.eml"][6], "<>")
	is.Equal(fields["later.eml"][1], "scheduled")
	is.Equal(fields["hold/held.eml"][1], "held")
	is.Equal(fields["new.eml"][1:2], []string{"new"})
	is.Equal(fields["new.eml"][7:], []string{"new@example.com", "-"}) // from the header of the message
	is.Equal(fields["broken.eml"][1], "unusable")

	// sorted by the time from which they could be sent
	is.Equal(names(t, spool), "hold/held.eml deferred.eml waiting.eml broken.eml new.eml later.eml")
	for want, args := range map[string][]string{
		"failed/failed.eml":                        {"-failed"},
		"deferred.eml failed/failed.eml":           {"-state", "failed,deferred"},
		"hold/held.eml deferred.eml":               {"-older", "1h"},
		"waiting.eml broken.eml new.eml later.eml": {"-younger", "1h"},
		"waiting.eml":                              {"-from", "<>", "-reason", "REFUSED"},
		"hold/held.eml deferred.eml later.eml":     {"-from", "shop@example.com"},
		"hold/held.eml new.eml later.eml":          {"-to", "@example.com"},
		"deferred.eml":                             {"-to", "*n@example.org"},
		"":                                         {"-to", "bob@example.org"},
	} {
		is.Equal(names(t, append(args, spool)...), want) // flags before the directory
		is.Equal(names(t, append([]string{spool}, args...)...), want)
	}
}

func TestListAsJSON(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	got := make(map[string]mailq.Entry)
	for line := range strings.Lines(ok(t, "list", "-json", spool)) {
		var e mailq.Entry
		is.NoErr(json.Unmarshal([]byte(line), &e))
		got[e.Name] = e
	}
	is.Equal(len(got), 6)
	e := got["deferred.eml"]
	is.Equal(e.State, mailq.Deferred)
	is.Equal(e.To[0].Error, "rcpt: 450 4.2.1 \x1b[31mlater") // JSON has the text unchanged
	is.Equal(e.Cc[0].Status, record.Done)
	is.True(e.NextAttempt.After(time.Now()))
	is.Equal(got["held.eml"].State, mailq.Held)
	is.True(!got["held.eml"].Held.IsZero())
}

func TestListSaysWhatIsWrongWithTheStatus(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.js"), []byte("{"), 0o600))
	r := operate(t, "list", spool)
	is.Equal(r.code, 0)
	is.Equal(strings.Count(r.out, "\n"), 6) // no message is left out
	is.True(strings.Contains(r.err, ".spoolgore.js cannot be used"))
	is.Equal(operate(t, "list", filepath.Join(spool, "typo")).code, 78)
	is.Equal(operate(t, "list", filepath.Join(spool, "new.eml")).code, 78)

	// The daemon has its status file elsewhere, and list is not told where.
	relay, _ := deferring("451 4.2.1 not now")
	elsewhere, other := filepath.Join(t.TempDir(), "status"), t.TempDir()
	drop(t, other, "one.eml", mail("To: ann@example.com"))
	d := start(t, "-smtpaddr", relay.Listen(t), "-json", elsewhere, other)
	d.logs("delivery deferred", 1)
	eventually(t, "the status file has the message", func() bool { return len(statusOf(t, elsewhere)) == 1 })
	long := time.Now().Add(-time.Minute)
	is.NoErr(os.Chtimes(filepath.Join(other, ".spoolgore.lock"), long, long))
	r = operate(t, "list", other)
	is.True(strings.Contains(r.err, "name it with -statusfile"))
	eventually(t, "list shows the content of that status file", func() bool {
		return strings.Contains(ok(t, "list", other, "-statusfile", elsewhere), "\tdeferred\t")
	})
	d.stop()
}

// TestShowTellsEveryAttempt has three status files: a current one, one of a daemon that kept two attempts only, and one
// edited by hand.
func TestShowTellsEveryAttempt(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	made := func(minute int, reply, err string) spoolgore.Attempt {
		return spoolgore.Attempt{Time: time.Date(2025, 11, 23, 10, minute, 0, 0, time.Local), Relay: "mail:25", TLS: "TLS 1.3", Reply: reply, Error: err}
	}
	with := func(tried *spoolgore.History) (lines []string) {
		t.Helper()
		status := statusOf(t, filepath.Join(spool, ".spoolgore.js"))
		status[filepath.Join(spool, "deferred.eml")].To[0].History = tried
		status[filepath.Join(spool, "deferred.eml")].To[0].Attempts = 40
		writeJSON(t, filepath.Join(spool, ".spoolgore.js"), status)
		ago := regexp.MustCompile(` \([^()]* ago\)`)
		for line := range strings.Lines(ok(t, "show", spool, "deferred.eml")) {
			if strings.HasPrefix(line, "cc ") {
				return lines[1:]
			}
			if strings.HasPrefix(line, "to ") || len(lines) > 0 {
				lines = append(lines, ago.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
			}
		}
		return lines
	}
	first, last := made(0, "451 4.7.1 wait", ""), made(59, "450 4.2.1 \x1b[31mlater", "")
	is.Equal(with(&spoolgore.History{First: first, Last: last, Times: 120, Runs: []spoolgore.AttemptRun{
		{Attempt: first, Times: 1}, {Attempt: made(20, "", "end: EOF\x1b"), Until: made(40, "", "").Time, Times: 7}, {Attempt: last, Times: 1},
	}}), []string{
		"  first try  2025-11-23 10:00:00, mail:25, TLS 1.3: 451 4.7.1 wait",
		"             (111 attempts in between, without a record)",
		`  then       2025-11-23 10:20:00, mail:25, TLS 1.3: end: EOF\x1b (7 times until 2025-11-23 10:40:00)`,
		`  last try   2025-11-23 10:59:00, mail:25, TLS 1.3: 450 4.2.1 \x1b[31mlater`,
	})
	first.Reply = last.Reply
	is.Equal(with(&spoolgore.History{First: first, Last: last, Times: 40}), []string{
		`  first try  2025-11-23 10:00:00, mail:25, TLS 1.3: 450 4.2.1 \x1b[31mlater (40 times until 2025-11-23 10:59:00)`,
	})
	is.Equal(with(&spoolgore.History{First: first, Last: last}), []string{
		`  first try  2025-11-23 10:00:00, mail:25, TLS 1.3: 450 4.2.1 \x1b[31mlater`,
		"             (38 attempts in between, without a record)",
		`  last try   2025-11-23 10:59:00, mail:25, TLS 1.3: 450 4.2.1 \x1b[31mlater`,
	})
}

func TestShow(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	out := ok(t, "show", spool, "deferred.eml")
	for _, words := range []string{
		"deferred.eml\n", "state        deferred, next attempt ", "from         shop@example.com",
		"to           ann@example.org: next attempt ", " after 3 failed attempts", `rcpt: 450 4.2.1 \x1b[31mlater`,
		"cc           bob@example.org: accepted by mail:25", "\nHeader\nFrom: app@example.com\n", `X-Evil: \x1b]0;title\a`,
	} {
		is.True(strings.Contains(out, words)) // show prints every fact
	}
	is.True(!strings.Contains(out, "\x1b"))   // no escape sequences for the terminal
	is.True(!strings.Contains(out, "\nbody")) // the content of the message is not shown
	is.True(strings.Contains(ok(t, "show", spool, "failed/failed.eml"), "given up"))
	is.True(strings.Contains(ok(t, "show", spool, filepath.Join(spool, "hold", "held.eml")), "state        held"))
	// the file unchanged
	is.Equal(ok(t, "show", "-raw", spool, "held.eml"), mail("To: ann@example.com", "X-Evil: \x1b]0;title\a"))
	r := operate(t, "show", spool, "gone.eml", "held.eml")
	is.Equal(r.code, 1)
	is.True(strings.Contains(r.err, "gone.eml: no message of that name"))
	is.True(strings.Contains(r.out, "held.eml")) // the other messages are shown
	is.True(strings.Contains(operate(t, "show", spool, "failed/held.eml").err, "failed/held.eml: no message of that name; there is one in hold/"))
	r = operate(t, "show", spool, "/etc/passwd")
	is.True(strings.Contains(r.err, "is not in the spool"))
	is.Equal(r.code, 1)
}

func TestNamesThatAreNoText(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := t.TempDir()
	evil, long := "a\nb\x1b[2J\xff.eml", "20260102T150405.000000000-abcdefgh12345678.eml"
	for i, name := range []string{long, "a", evil, "b\\x1b"} {
		at := time.Now().Add(time.Duration(i-10) * time.Second)
		must(t, os.Chtimes(drop(t, spool, name, mail("To: ann@example.com")), at, at))
	}
	must(t, os.WriteFile(filepath.Join(spool, ".spoolgore.lock"), nil, 0o600))
	shown := `a\nb\x1b[2J\xff.eml`
	is.Equal(names(t, spool), strings.Join([]string{long, "a", shown, `b\x1b`}, " "))
	is.True(strings.Contains(ok(t, "show", spool, shown), shown)) // the name as list prints it
	is.True(strings.Contains(ok(t, "show", spool, evil), shown))  // the name itself
	is.True(strings.Contains(ok(t, "show", spool, "2026…5678.eml"), long))
	is.Equal(operate(t, "delete", "-y", spool, "2026…5678.eml").code, 64) // a shortened name is not accepted
	ok(t, "delete", "-y", spool, shown)
	is.True(!exists(filepath.Join(spool, evil)))
	is.Equal(names(t, spool), long+` a b\x1b`) // only that message was changed
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	is.Equal(ok(t, "hold", spool, "deferred.eml"), "held deferred.eml\n")
	is.Equal(names(t, "-state", "held", spool), "hold/held.eml hold/deferred.eml")
	r := operate(t, "hold", spool, "held.eml", "failed.eml", "waiting.eml")
	is.Equal(r.code, 1)
	is.True(strings.Contains(r.err, "held.eml is in hold/, where hold does nothing"))
	is.True(strings.Contains(r.err, "failed.eml is in failed/, where hold does nothing"))
	is.True(exists(filepath.Join(spool, "hold", "waiting.eml"))) // the other messages are held
	is.Equal(ok(t, "release", spool, "-all", "-to", "ann@example.org"), "released hold/deferred.eml\n")

	must(t, os.WriteFile(filepath.Join(spool, "waiting.eml"), []byte("a new one"), 0o600))
	r = operate(t, "release", "-all", spool)
	is.Equal(r.code, 1)
	is.True(strings.Contains(r.err, "hold/waiting.eml: another file of that name is there"))
	text, err := os.ReadFile(filepath.Join(spool, "waiting.eml"))
	is.NoErr(err)
	is.Equal(string(text), "a new one") // the file in hold/ is not overwritten
	is.True(exists(filepath.Join(spool, "hold", "waiting.eml")))
	is.True(exists(filepath.Join(spool, "held.eml")))

	r = operate(t, "hold", "-all", spool)
	is.Equal(r.code, 1)
	is.Equal(r.out, "held 5 messages\n") // all except the message whose name exists in hold/
}

func TestFlagsThatChoose(t *testing.T) {
	t.Parallel()
	spool := aSpool(t)
	for name, row := range map[string]struct {
		args []string
		say  string
	}{
		"nothing chosen":   {[]string{"hold", spool}, "which messages?"},
		"filter alone":     {[]string{"delete", "-y", spool, "-to", "ann@example.org"}, "add -all"},
		"names and filter": {[]string{"delete", "-y", spool, "new.eml", "-to", "ann@example.org"}, "either names, or -all"},
		"names and all":    {[]string{"delete", "-y", spool, "new.eml", "-all"}, "either names, or -all"},
		"empty pattern":    {[]string{"delete", "-y", spool, "-all", "-from", ""}, "address is empty"},
		"no such state":    {[]string{"hold", spool, "-all", "-state", "old"}, `no state is called "old"`},
		"no such age":      {[]string{"hold", spool, "-all", "-older", "long"}, "-older"},
		"no directory":     {[]string{"hold"}, "which directory"},
		"list and a name":  {[]string{"list", spool, "new.eml"}, "no other operand"},
		"no question":      {[]string{"delete", spool, "new.eml"}, "nothing is deleted unless -y is given"},
		"show nothing":     {[]string{"show", spool}, "which message?"},
		"unknown flag":     {[]string{"list", "-force", spool}, "-force"},
		"watch in a pipe":  {[]string{"stats", "-watch", spool}, "-watch needs a terminal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			r := operate(t, row.args...)
			is.Equal(r.code, 64)
			is.True(strings.Contains(r.err, row.say)) // the error names the mistake
			is.True(strings.Contains(r.err, "(see spoolgore help "+row.args[0]+")"))
			is.True(exists(filepath.Join(spool, "new.eml"))) // and no message is changed
			is.True(exists(filepath.Join(spool, "deferred.eml")))
		})
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	is.Equal(ok(t, "delete", "-y", spool, "new.eml", "hold/held.eml"), "deleted 2 messages\n")
	is.Equal(ok(t, "delete", "-y", spool, "-all", "-reason", "refused"), "deleted waiting.eml\n")
	is.Equal(names(t, spool), "deferred.eml broken.eml later.eml")
	is.True(exists(filepath.Join(spool, "failed", "failed.eml"))) // -all does not include failed messages
	is.Equal(ok(t, "delete", "-y", spool, "failed/failed.eml"), "deleted failed/failed.eml\n")
	is.True(!exists(filepath.Join(spool, "failed", "failed.eml.json"))) // the why-file is removed, too
	is.Equal(ok(t, "delete", "-y", spool, "-all", "-failed"), "deleted 0 messages\n")
	is.Equal(ok(t, "delete", "-y", spool, "-all"), "deleted 3 messages\n")
	is.Equal(names(t, spool), "")
	is.True(exists(filepath.Join(spool, ".spoolgore.js")))
}

// TestTheStatusFileIsNoMessage has a daemon with -json: its status file in the spool must not be held or deleted like a
// message.
func TestTheStatusFileIsNoMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	status := filepath.Join(spool, "status.js")
	must(t, os.Rename(filepath.Join(spool, ".spoolgore.js"), status))
	for _, command := range [][]string{{"hold"}, {"delete", "-y"}, {"retry"}} {
		r := operate(t, append(command, "-all", spool)...)
		is.Equal(r.code, 1) // the status file is left alone
		is.True(strings.Contains(r.err, "status.js is left alone"))
		is.True(exists(status))
	}
	is.Equal(names(t, spool), "status.js") // all messages were held or deleted
	must(t, os.WriteFile(status, []byte("{\n}\n"), 0o600))
	is.Equal(operate(t, "delete", "-y", "-all", spool).code, 1) // the same in an empty spool
	is.True(exists(status))
	// with -statusfile the command knows the status file
	is.Equal(ok(t, "delete", "-y", "-all", spool, "-statusfile", status), "deleted 0 messages\n")
	is.True(exists(status))
}

// TestFiltersNeedTheStatus checks that a command with a filter does nothing if the status file is missing or damaged.
func TestFiltersNeedTheStatus(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, spool, status string){
		"broken": func(t *testing.T, _, status string) { must(t, os.WriteFile(status, []byte("{"), 0o600)) },
		"elsewhere": func(t *testing.T, spool, status string) {
			must(t, os.Remove(status))
			long := time.Now().Add(-time.Minute)
			must(t, os.Chtimes(filepath.Join(spool, ".spoolgore.lock"), long, long))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			spool := aSpool(t)
			spoil(t, spool, filepath.Join(spool, ".spoolgore.js"))
			for _, command := range [][]string{{"delete", "-y"}, {"hold"}, {"release"}, {"retry"}} {
				r := operate(t, append(command, "-all", "-younger", "1d", spool)...)
				is.Equal(r.code, 78)
				is.True(strings.Contains(r.err, "nothing was done, because "))
			}
			is.Equal(len(strings.Fields(operate(t, "list", "-names", spool).out)), 6)
			// a why-file has the time
			is.Equal(ok(t, "delete", "-y", "-failed", "-all", "-older", "1m", spool), "deleted failed/failed.eml\n")
			// a name needs no status
			is.Equal(ok(t, "delete", "-y", spool, "new.eml"), "deleted new.eml\n")
		})
	}
}

// TestShowHasAgeAndRemovedRecipients checks that show prints two facts from the status file: the message is too old,
// and a recipient was removed by hand.
func TestShowHasAgeAndRemovedRecipients(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	is.True(!strings.Contains(ok(t, "show", spool, "later.eml"), "too old")) // other messages are not too old
	path := filepath.Join(spool, ".spoolgore.js")
	status, name := statusOf(t, path), filepath.Join(spool, "deferred.eml")
	m := status[name]
	m.Overdue, m.Removed = time.Now().Add(-time.Hour), []string{"out@example.org", "\x1b[31mred@example.org"}
	status[name] = m
	writeJSON(t, path, status)
	shown := ok(t, "show", spool, "deferred.eml")
	is.True(strings.Contains(shown, "too old      since "))
	is.True(strings.Contains(shown, "taken out    out@example.org: removed from the status file by hand, gets nothing\n"))
	is.Equal(strings.Count(shown, "taken out    "), 2)
	is.True(!strings.Contains(shown, "\x1b")) // no escape sequences for the terminal
	var e mailq.Entry
	must(t, json.Unmarshal([]byte(ok(t, "show", "-json", spool, "deferred.eml")), &e))
	is.True(e.Overdue.Equal(m.Overdue))
	is.Equal(e.Removed, m.Removed)
}

func TestCommandsChangeNothingOutsideOfASpool(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"delete", "-y"}, {"hold"}, {"retry"}, {"release"}} {
		is := is.New(t)
		home := t.TempDir()
		must(t, os.WriteFile(filepath.Join(home, "thesis.txt"), []byte("ten years"), 0o600))
		r := operate(t, append(command, "-all", home)...)
		is.Equal(r.code, 78)
		is.True(strings.Contains(r.err, "is no spool"))
		is.True(exists(filepath.Join(home, "thesis.txt")))
		is.True(!exists(filepath.Join(home, "hold")))
	}
}

// TestTheDaemonsConfiguration runs commands with -config, which says where the spool and the status file are.
func TestTheDaemonsConfiguration(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	spool := aSpool(t)
	status := filepath.Join(t.TempDir(), "status.js")
	must(t, os.Rename(filepath.Join(spool, ".spoolgore.js"), status))
	file := configured(t, "dir "+spool, "json "+status, "smtpuser app") // the command needs no password
	is.True(strings.Contains(ok(t, "list", "-config", file), "deferred.eml\tdeferred\t"))
	is.True(strings.Contains(ok(t, "show", "new.eml", "-config", file), "new@example.com"))
	is.Equal(ok(t, "hold", "-config", file, "new.eml", "later.eml"), "held 2 messages\n")
	is.Equal(operate(t, "check", "-config", file).code, 2) // mail waits, and no daemon runs

	r := operate(t, "list", "-config", file, spool)
	is.Equal(r.code, 64)
	is.True(strings.Contains(r.err, "the directory is that of -config"))
	other := t.TempDir()
	is.Equal(ok(t, "list", "-names", other, "-config", configured(t, "smtpaddr mail:25")), "") // a file without dir

	r = operate(t, "list", "-config", configured(t, "dri "+spool))
	is.Equal(r.code, 78)
	is.True(strings.Contains(r.err, `unknown key "dri"`))
	is.Equal(operate(t, "list", "-config", filepath.Join(other, "none")).code, 78)
}

// TestOperatorsAndTheDaemon runs the commands of an operator while a daemon runs.
func TestOperatorsAndTheDaemon(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, open := deferring("451 4.2.1 not now")
	spool := t.TempDir()
	for _, name := range []string{"held.eml", "retried.eml", "left.eml", "deleted.eml"} {
		drop(t, spool, name, strings.ReplaceAll(mail("To: "+strings.TrimSuffix(name, ".eml")+"@example.com"), "<1@", "<"+name+"@"))
	}
	d := start(t, "-smtpaddr", relay.Listen(t), spool)
	d.logs("delivery deferred", 4)
	eventually(t, "list shows the attempts", func() bool { return names(t, spool, "-state", "deferred", "-reason", "not now") != "" })

	is.Equal(ok(t, "retry", spool, "retried.eml"), "to be tried again: retried.eml\n")
	d.logs("to=retried@example.com attempt=2", 1) // at once
	is.Equal(strings.Count(d.log.String(), "attempt=2"), 1)
	ok(t, "hold", spool, "held.eml")
	ok(t, "delete", "-y", spool, "deleted.eml")
	eventually(t, "the status file has the held and the deleted message", func() bool {
		s := statusOf(t, filepath.Join(spool, ".spoolgore.js"))
		// The record of a deleted message is kept for ten minutes: the file may come back under another name.
		deleted := s[filepath.Join(spool, "deleted.eml")]
		return !deleted.Missing.IsZero() && !s[filepath.Join(spool, "held.eml")].Held.IsZero()
	})
	open()
	is.True(strings.Contains(ok(t, "flush", spool), "told the daemon"))
	eventually(t, "the other messages are delivered", func() bool { return len(relay.Messages()) == 2 })
	is.Equal(ok(t, "release", "-all", spool), "released hold/held.eml\n")
	// otherwise the message waits for its next attempt
	is.True(strings.Contains(ok(t, "retry", "-all", spool), "told the daemon"))
	eventually(t, "the held message is delivered", func() bool { return names(t, spool) == "" })
	d.stop()
	is.Equal(len(relay.Messages()), 3) // the deleted message is not delivered
	r := operate(t, "flush", spool)
	is.Equal(r.code, 75)
	is.True(strings.Contains(r.err, "no daemon runs"))
}

func TestRetryBeforeTheDaemonStarts(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	relay, _ := deferring("451 4.2.1 not now")
	addr, spool := relay.Listen(t), t.TempDir()
	for _, name := range []string{"a.eml", "b.eml"} {
		drop(t, spool, name, strings.ReplaceAll(mail("To: "+name+"@example.com"), "<1@", "<"+name+"@"))
	}
	is.Equal(start(t, "-smtpaddr", addr, "-once", spool).exit(), 0)
	for round, args := range [][]string{{"retry", spool, "a.eml"}, {"retry", "-all", spool}} {
		r := operate(t, args...)
		is.Equal(r.code, 0)
		is.True(strings.Contains(r.err, "the next one will try"))
		d := start(t, "-smtpaddr", addr, "-once", spool)
		is.Equal(d.exit(), 0)
		is.Equal(strings.Count(d.log.String(), "delivery deferred"), round+1) // the touched messages only
	}
}

func TestRetryOfFailedMessages(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	corrected := make(chan struct{})
	relay := &smtptest.Relay{Reply: func(verb, arg string) string {
		select {
		case <-corrected:
			return ""
		default:
		}
		if verb == "RCPT" && strings.HasPrefix(arg, "no") {
			return "550 5.1.1 no such user"
		}
		return ""
	}}
	spool := t.TempDir()
	for _, name := range []string{"one.eml", "two.eml"} {
		drop(t, spool, name, strings.ReplaceAll(mail("To: no-"+name+"@example.com, yes@example.com"), "<1@", "<"+name+"@"))
	}
	d := start(t, "-smtpaddr", relay.Listen(t), "-bounce=false", spool)
	eventually(t, "both messages are given up", func() bool {
		return names(t, "-failed", spool) != "" && len(strings.Fields(names(t, "-failed", spool))) == 2
	})
	is.Equal(len(relay.Messages()), 2) // to the other recipient
	close(corrected)
	is.Equal(ok(t, "retry", "-failed", spool, "-to", "no-one*"), "to be tried again: failed/one.eml\n")
	eventually(t, "the first message is delivered", func() bool { return len(relay.Messages()) == 3 })
	is.Equal(ok(t, "retry", spool, "two.eml"), "to be tried again: failed/two.eml\n")
	eventually(t, "the second message is delivered", func() bool { return len(relay.Messages()) == 4 })
	eventually(t, "the spool and failed/ are empty", func() bool { return names(t, spool) == "" && names(t, "-failed", spool) == "" })
	d.stop()
	for i, m := range relay.Messages()[2:] {
		// only the recipient that had not accepted the message
		is.Equal(m.To, []string{[]string{"no-one.eml@example.com", "no-two.eml@example.com"}[i]})
	}
	left, err := os.ReadDir(filepath.Join(spool, "failed"))
	is.NoErr(err)
	is.Equal(len(left), 0)
}
