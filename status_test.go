package spoolgore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// deferring is a relay that defers every recipient while defers is true.
func deferring() (relay *smtptest.Relay, defers *atomic.Bool) {
	defers = &atomic.Bool{}
	defers.Store(true)
	return &smtptest.Relay{Reply: func(verb, _ string) string {
		if verb == "RCPT" && defers.Load() {
			return "450 4.2.1 later"
		}
		return ""
	}}, defers
}

func TestStatusFileHasTheNamesOfThe2014Tool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, _ := deferring()
		drop(t, dir, "m", "Bcc: d@example.org\nCc: c@example.org\n"+simple)
		path := filepath.Join(t.TempDir(), "status.js")
		_, stop := start(t, dir, Options{Dial: relay.Dial, StatusFile: path})
		pass(900 * time.Millisecond)
		text, err := os.ReadFile(path) // written within a second
		is.NoErr(err)
		stop()
		var all map[string]map[string]any
		is.NoErr(json.Unmarshal(text, &all))
		m := all[filepath.Join(dir, "m")]
		is.True(m != nil) // the key is the absolute path
		is.Equal(m["From"], "a@example.com")
		is.Equal(m["Attempts"], 1.0)
		is.Equal(m["Enqueued"], "2000-01-01T00:00:00Z")
		for field, addr := range map[string]string{"To": "b@example.org", "Cc": "c@example.org", "Bcc": "d@example.org"} {
			list := m[field].([]any)
			is.Equal(len(list), 1)
			r := list[0].(map[string]any)
			is.Equal(r["Address"], addr)
			is.Equal(r["Status"], 0.0)
			is.Equal(r["Attempts"], 1.0)
			is.Equal(r["NextAttempt"], "2000-01-01T00:01:00Z") // RFC 3339
			is.Equal(r["Error"], "rcpt: 450 4.2.1 later")
		}
		info, err := os.Stat(path)
		is.NoErr(err)
		is.Equal(info.Mode().Perm(), os.FileMode(0o600))
	})
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, defers := deferring()
		drop(t, dir, "m", simple)
		drop(t, dir, "gone", simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(4 * time.Minute)
		before := s.Status()[filepath.Join(dir, "m")]
		stop()
		is.NoErr(os.Remove(filepath.Join(dir, "gone")))
		pass(time.Minute)
		s, stop = start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		after := one(t, s.Status()) // the entry of the removed file is dropped
		is.Equal(after.To[0].Attempts, 3)
		is.True(after.To[0].NextAttempt.Equal(before.To[0].NextAttempt)) // the time of the next attempt is kept
		is.True(after.Enqueued.Equal(before.Enqueued))
		defers.Store(false)
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 1)
	})
}

func TestRecordOfAnotherMessageUnderTheNameIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, defers := deferring()
		drop(t, dir, "m", simple)
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(4 * time.Minute)
		stop()
		// another message has the name since, while no daemon ran
		drop(t, dir, "m", strings.Replace(simple, "b@", "other@", 1))
		defers.Store(false)
		_, stop = start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		stop()
		is.Equal(relay.Messages()[0].To, []string{"other@example.org"})
	})
}

func TestAStatusFileOfThe2014ToolIsUnderstood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &smtptest.Relay{}
		drop(t, dir, "m", "Cc: c@example.org, d@example.org\n"+simple)
		old := fmt.Sprintf(`{%q: {"From": "Joe <a@example.com>",
			"To": [{"Address": "b@example.org", "Status": 2, "Attempts": 0, "NextAttempt": "1999-01-01T00:00:00Z", "Error": ""}],
			"Cc": [{"Address": "c@example.org", "Status": 1, "Attempts": 4, "NextAttempt": "2000-01-01T01:00:00Z", "Error": "x"}],
			"Bcc": [], "Attempts": 0, "Enqueued": "1999-12-31T00:00:00Z"}}`, filepath.Join(dir, "m"))
		is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), []byte(old), 0o644))
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Minute)
		m := one(t, s.Status())
		// its From was the raw header field, not the envelope sender
		is.Equal(m.From, "a@example.com")
		is.True(m.Enqueued.Equal(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC))) // age and attempts are kept
		is.Equal(m.Cc[0].Attempts, 4)
		// b@ has accepted the message, and c@ is not due yet
		is.Equal(relay.Messages()[0].To, []string{"d@example.org"})
		pass(time.Hour)
		stop()
		is.Equal(relay.Messages()[1].To, []string{"c@example.org"})
	})
}

// The status file is damaged at the start: it is set aside, entries before the damage are used, and mail is sent. A
// message with several recipients and without an entry is held until an operator releases it.
func TestDamagedStatusFileIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) string{
		"cut off": func(s string) string { return s[:strings.Index(s, "/m-single")+20] },
		"no JSON": func(s string) string { return strings.Replace(s, "m-single\": {", "m-single\": {,", 1) },
		"wrong type": func(s string) string {
			return strings.Replace(s, "m-single\": {", "m-single\": {\"Held\": 3,", 1)
		},
		"wrong status": func(s string) string {
			return strings.Replace(s, `"Address": "late-single@x.org",
				"Status": 0`, `"Address": "late-single@x.org", "Status": 3`, 1)
		},
		"zeros": func(s string) string { return strings.Repeat("\x00", len(s)) },
		"empty": func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, path := t.TempDir(), ""
				path = filepath.Join(dir, ".spoolgore.js")
				var refuses atomic.Bool
				refuses.Store(true)
				relay := &ledger{answer: func(_, to string, _ int) error {
					if refuses.Load() && strings.HasPrefix(to, "late") {
						return errLater
					}
					return nil
				}}
				message := func(name, to string) string {
					return strings.NewReplacer("<1@x>", "<"+name+"@x>", "a@x.org, b@x.org", to).Replace(named)
				}
				drop(t, dir, "a-known", message("a-known", "known@x.org, late-known@x.org"))
				drop(t, dir, "m-single", message("m-single", "late-single@x.org"))
				drop(t, dir, "z-two", message("z-two", "two@x.org, late-two@x.org"))
				_, stop := start(t, dir, Options{Transport: relay})
				pass(5 * time.Second)
				stop()
				text, err := os.ReadFile(path)
				is.NoErr(err)
				bad := damage(string(text))
				is.True(bad != string(text))
				is.NoErr(os.WriteFile(path, []byte(bad), 0o600))
				drop(t, dir, "new", message("new", "late-new@x.org"))
				refuses.Store(false)
				log := &lines{}
				s, stop := start(t, dir, Options{Transport: relay, Logger: slog.New(slog.NewTextHandler(log, nil))})
				pass(time.Hour)
				is.NoErr(copies(relay, "late-single@x.org", 1))
				is.NoErr(copies(relay, "late-new@x.org", 1))
				is.NoErr(copies(relay, "two@x.org", 1))
				is.NoErr(copies(relay, "late-two@x.org", 0))
				is.True(exists(dir, "hold", "z-two"))
				m := s.Status()[filepath.Join(dir, "z-two")]
				is.True(!m.Held.IsZero() && strings.Contains(m.Error, "damaged"))
				known := strings.Contains(bad, "a-known") // entries before the damage are used
				is.NoErr(copies(relay, "known@x.org", 1))
				is.Equal(exists(dir, "hold", "a-known"), !known)
				aside, err := filepath.Glob(path + ".bad-*")
				is.NoErr(err)
				is.Equal(len(aside), 1)
				kept, err := os.ReadFile(aside[0])
				is.NoErr(err)
				is.Equal(string(kept), bad)
				is.True(strings.Contains(log.String(), "level=ERROR") && strings.Contains(log.String(), aside[0]))
				is.NoErr(os.Rename(filepath.Join(dir, "hold", "z-two"), filepath.Join(dir, "z-two"))) // released
				pass(time.Minute)
				stop()
				is.NoErr(copies(relay, "late-two@x.org", 1))
				is.True(!exists(dir, "z-two"))
			})
		})
	}
}

// edit replaces old with new in the status file. The status file must contain old.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text := compactStatus(t, path)
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in the status file:\n%s", old, text)
	}
	check(t, os.WriteFile(path, []byte(strings.Replace(text, old, new, 1)), 0o600))
}

// compactStatus returns the status file without indentation.
func compactStatus(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	var b bytes.Buffer
	check(t, json.Compact(&b, text))
	return b.String()
}

func TestPauseEditReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, defers := deferring()
		path := filepath.Join(dir, ".spoolgore.js")
		drop(t, dir, "m", "Cc: c@example.org, d@example.org\n"+simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(10 * time.Millisecond)
		s.Pause()
		before, err := os.ReadFile(path)
		is.NoErr(err)
		is.True(strings.Contains(string(before), "450 4.2.1 later")) // the pause brings the file up to date
		defers.Store(false)
		drop(t, dir, "new", simple)
		pass(time.Hour)
		is.Equal(len(relay.Messages()), 0) // no message is sent during the pause
		after, err := os.ReadFile(path)
		is.NoErr(err)
		is.Equal(string(after), string(before)) // the status file is not written during the pause

		is.NoErr(os.WriteFile(path, []byte("{broken"), 0o600))
		is.True(s.Reload() != nil)
		is.Equal(len(s.Status()), 1) // a file that does not parse changes nothing
		is.NoErr(os.WriteFile(path, before, 0o600))
		edit(t, path, `"c@example.org","Status":0`, `"c@example.org","Status":2`)
		edit(t, path, `,{"Address":"d@example.org"`, `],"Ignored":[{"Address":"d@example.org"`)
		is.NoErr(s.Reload())
		pass(time.Hour)
		is.Equal(len(relay.Messages()), 0) // Reload does not end the pause
		s.Resume()
		pass(time.Minute)
		stop()
		is.Equal(len(relay.Messages()), 2)
		// only the recipient that is neither marked as done nor removed
		is.Equal(relay.Messages()[0].To, []string{"b@example.org"})
		is.True(!exists(dir, "m") && !exists(dir, "failed", "m"))
	})
}

func TestAnAcceptanceSeenDuringThePauseIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("entry removed %v", gone), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				relay := &smtptest.Relay{Reply: func(verb, arg string) string {
					if verb == "RCPT" && arg == "c@example.org" && time.Now().Year() == 2000 && time.Now().YearDay() == 1 {
						return "450 later"
					}
					if verb == "END" && time.Now().YearDay() == 1 {
						time.Sleep(time.Minute)
					}
					return ""
				}}
				path := filepath.Join(dir, ".spoolgore.js")
				drop(t, dir, "m", "Cc: c@example.org\n"+simple)
				s, stop := start(t, dir, Options{Dial: relay.Dial, Freq: time.Minute})
				pass(time.Second)
				s.Pause() // during the transaction
				pass(time.Hour)
				is.Equal(len(relay.Messages()), 1)
				if gone {
					is.NoErr(os.WriteFile(path, []byte("{}"), 0o600))
				}
				is.NoErr(s.Reload()) // b@ is still in progress in the file
				s.Resume()
				pass(48 * time.Hour)
				stop()
				is.Equal(len(relay.Messages()), 2)
				is.Equal(relay.Messages()[1].To, []string{"c@example.org"})
			})
		})
	}
}

func TestFlushTriesEverythingNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, defers := deferring()
		drop(t, dir, "m", simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial, Backoff: func(int) time.Duration { return 24 * time.Hour }})
		pass(time.Hour)
		defers.Store(false)
		drop(t, dir, "new", simple)
		s.Flush()
		pass(10 * time.Millisecond)
		stop()
		is.Equal(len(relay.Messages()), 2) // the waiting message and the new one
	})
}

// All mail waits for two dead connections, as after a change of network. Flush closes the connections.
func TestFlushDropsConnectionsThatWaitForAGreeting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var dead atomic.Bool
		dead.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "CONNECT" && dead.Load() {
				return "hang"
			}
			return ""
		}}
		drop(t, dir, "a", simple)
		drop(t, dir, "b", simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial, Concurrency: 2})
		pass(30 * time.Second)
		dead.Store(false)
		drop(t, dir, "new", simple)
		s.Flush()
		pass(time.Second)
		is.Equal(len(relay.Messages()), 3)
		stop()
	})
}

func TestStatusBelongsToTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		relay, _ := deferring()
		drop(t, dir, "m", simple)
		s, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		m := one(t, s.Status())
		m.To[0].Address = "changed@example.org"
		is.Equal(one(t, s.Status()).To[0].Address, "b@example.org")
		stop()
		is.Equal(one(t, s.Status()).To[0].Address, "b@example.org") // also after Run, from the file
	})
}

func TestFullDiskIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, path := t.TempDir(), filepath.Join(t.TempDir(), "missing", "status.js")
		log := &lines{}
		relay := &smtptest.Relay{}
		_, stop := start(t, dir, Options{Dial: relay.Dial, StatusFile: path, Logger: slog.New(slog.NewTextHandler(log, nil))})
		for range 20 {
			drop(t, dir, "m", simple)
			pass(time.Minute)
		}
		is.Equal(len(relay.Messages()), 20)                                // messages are sent
		is.Equal(strings.Count(log.String(), "file cannot be written"), 1) // the error is logged once
		is.NoErr(os.Mkdir(filepath.Dir(path), 0o700))
		pass(time.Minute)
		is.Equal(strings.Count(log.String(), "file can be written again"), 1) // its end is logged once
		is.True(exists(path))
		stop()
	})
}

func TestDataAfterTheStatusIsAnError(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"null\n": true, "{}\n": true, "": false, "null {}": false, "{} {}": false, "[]": false, "{\"a\": {}": false,
	} {
		path := filepath.Join(t.TempDir(), "status")
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := loadStatus(path); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
