package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// get requests path and decodes the JSON of the response.
func get[T any](t *testing.T, s *Server, path string) (v T) {
	t.Helper()
	got := send(s.Handler(), request{path: path})
	if got.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, got.Code, got.Body)
	}
	check(t, json.Unmarshal(got.Body.Bytes(), &v))
	return v
}

type page struct {
	Total, Offset, More int
	Rows                []shown
}

// list requests the messages in the states.
func list(t *testing.T, s *Server, states string, more ...string) page {
	t.Helper()
	return get[page](t, s, "/messages?state="+states+strings.Join(more, ""))
}

// order requests an action on messages.
func doOrder(t *testing.T, s *Server, act string, messages ...shown) (out outcome) {
	t.Helper()
	o := order{Act: act}
	for _, m := range messages {
		o.Messages = append(o.Messages, struct {
			Place   string `json:"place"`
			File    string `json:"file"`
			Version string `json:"version"`
		}{m.Place, m.File, m.Version})
	}
	body, err := json.Marshal(o)
	check(t, err)
	got := send(s.Handler(), request{method: "POST", path: "/do", header: []string{"Content-Type: application/json"}, body: string(body)})
	if got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	check(t, json.Unmarshal(got.Body.Bytes(), &out))
	return out
}

// tried runs a spool with one message of each kind until all messages were tried.
func tried(t *testing.T) (s *Server, dir string) {
	t.Helper()
	dir = t.TempDir()
	drop(t, dir, "both", mail("a@example.com", "nobody@example.org, later@example.org", "one", "text\n"))
	drop(t, dir, "gone", mail("b@example.com", "nobody@example.org, ann@example.org", "two", "text\n"))
	drop(t, dir, "waits", mail("c@example.com", "later@example.net", hostile, "text\n"))
	drop(t, dir, "bad \x1b[2J\u202e", "no message")
	spool := run(t, dir, spoolgore.Options{})
	pulse := &fakePulse{started: time.Now().Add(-9 * time.Hour), last: well(), health: spool.Health}
	s, _ = serve(t, dir, Options{Version: "v1", Flush: spool.Flush, Collector: pulse})
	soon(t, "every message was tried", func() bool {
		s.table.expire(nil)
		return len(list(t, s, "failed").Rows) == 1 && len(list(t, s, "deferred").Rows) == 2 && len(list(t, s, "unusable").Rows) == 1
	})
	return s, dir
}

func TestStatusOfTheSpool(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	st := get[status](t, s, "/status")
	is.Equal(st.Dir, dir)
	is.Equal(st.Version, "v1")
	is.True(st.Healthy)
	is.Equal(st.Problems, []string{})
	check(t, os.WriteFile(filepath.Join(dir, ".spoolgore.js.bad-20260102T030405Z"), []byte("{"), 0o600))
	s.table.expire(nil)
	problems := get[status](t, s, "/status").Problems
	is.Equal(len(problems), 1) // the damaged status file
	is.True(strings.Contains(problems[0], ".bad-20260102T030405Z"))
	is.Equal(st.Waiting, 3) // a file that cannot be sent counts as waiting
	is.Equal(st.Queue["deferred"], 2)
	is.Equal(st.Queue["failed"], 1)
	is.True(time.Since(st.Oldest) < patience)
	is.Equal(st.Sent, uint64(48211))
	is.Equal(st.Relays[0].Name, "mail.example.com:587")
	is.Equal(st.Domains, []group{{"example.net", 1}, {"example.org", 1}})
	is.Equal(st.Reasons[0], group{"rcpt: 450 4.2.0 <…>: Recipient address rejected: Greylisted, see https://postgrey.example/help", 2})
}

// TestCountsAreThoseOfTheQueue has a spool that takes very long to read. The counts are shown at once, and follow
// changes by other programs in hold/ and failed/.
func TestCountsAreThoseOfTheQueue(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	s.table.mu.Lock()
	s.table.last, s.table.next = nil, time.Time{}
	s.table.load = func(string, string, time.Time, bool) (*reading, error) {
		<-t.Context().Done()
		return nil, t.Context().Err()
	}
	s.table.mu.Unlock()
	st := get[status](t, s, "/status")
	is.True(st.Counting)
	is.Equal(st.Waiting, 3)
	want := map[mailq.State]int{
		mailq.New: 0, mailq.Waiting: 0, mailq.Sending: 0, mailq.Deferred: 2, mailq.Scheduled: 0, mailq.Unusable: 1,
		mailq.Temporary: 0, mailq.Held: 0, mailq.Failed: 1,
	}
	is.Equal(st.Queue, want)
	check(t, os.MkdirAll(filepath.Join(dir, "hold"), 0o700))
	check(t, os.Rename(filepath.Join(dir, "waits"), filepath.Join(dir, "hold", "waits")))
	check(t, os.Remove(filepath.Join(dir, "failed", "gone")))
	want[mailq.Deferred], want[mailq.Held], want[mailq.Failed] = 1, 1, 0
	soon(t, "the counts follow", func() bool { return maps.Equal(get[status](t, s, "/status").Queue, want) })
}

func TestMessagesAreListedInPages(t *testing.T) {
	is := is.New(t)
	s, _ := tried(t)
	all := list(t, s, "deferred,failed,unusable")
	is.Equal(all.Total, 4)
	first := list(t, s, "deferred,failed,unusable", "&limit=3")
	rest := list(t, s, "deferred,failed,unusable", "&limit=3&offset=3")
	is.Equal(first.Total, 4)
	is.Equal(append(first.Rows, rest.Rows...), all.Rows) // in the same order, each message once
	is.Equal(len(list(t, s, "deferred", "&offset=9").Rows), 0)
	is.Equal(len(list(t, s, "deferred", "&offset=-1&limit=-5").Rows), 2)

	is.Equal(list(t, s, "deferred", "&q=C@EXAMPLE.com").Rows[0].Name, "waits")
	is.Equal(list(t, s, "deferred", "&q=GREYLISTED").Total, 2)
	is.Equal(list(t, s, "failed", "&q=greylisted").Total, 0)
	is.Equal(send(s.Handler(), request{path: "/messages?state=rotten"}).Code, http.StatusBadRequest)

	m := list(t, s, "failed").Rows[0]
	is.Equal(m.Place, "failed")
	is.Equal(m.Subject, "two")
	is.Equal(m.To, "nobody@example.org") // ann has accepted the message
	is.Equal(m.Recipients, 1)
	bad := list(t, s, "unusable").Rows[0]
	is.Equal(bad.Name, `bad \x1b[2J\u202e`) // control characters are escaped
	name, err := base64.RawURLEncoding.DecodeString(bad.File)
	is.NoErr(err)
	is.Equal(string(name), "bad \x1b[2J\u202e")
	// unchanged: the page shows it as text
	is.Equal(list(t, s, "deferred", "&q=c@example.com").Rows[0].Subject, hostile)
}

func TestMessageThatTheDaemonHasNotRead(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	drop(t, dir, "m", mail("a@example.com", "b@example.org, c@example.org", "fresh", "text\n"))
	s, _ := serve(t, dir, Options{})
	m := list(t, s, "new").Rows[0]
	is.Equal(m.From, "a@example.com")
	is.Equal(m.To, "b@example.org, c@example.org")
	is.Equal(m.Recipients, 2)
}

func TestActionsOnMessages(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	waits := list(t, s, "deferred", "&q=c@example.com").Rows[0]

	is.Equal(doOrder(t, s, "hold", waits).Done, 1)
	is.True(exists(dir, "hold", "waits"))
	is.Equal(doOrder(t, s, "hold", waits).Failed[0].Error, "it is not there any more: it was sent, moved or deleted")
	soon(t, "the message is listed as held", func() bool { s.table.expire(nil); return list(t, s, "held").Total == 1 })
	held := list(t, s, "held").Rows[0]
	is.Equal(doOrder(t, s, "retry", held).Done, 1) // the message was released
	is.True(exists(dir, "waits"))

	soon(t, "the message waits again", func() bool { s.table.expire(nil); return list(t, s, "deferred", "&q=c@example.com").Total == 1 })
	waits = list(t, s, "deferred", "&q=c@example.com").Rows[0]
	attempts := waits.Attempts
	is.Equal(doOrder(t, s, "retry", waits).Done, 1)
	soon(t, "the message is tried now", func() bool {
		s.table.expire(nil)
		l := list(t, s, "deferred", "&q=c@example.com")
		return l.Total == 1 && l.Rows[0].Attempts > attempts
	})

	gone := list(t, s, "failed").Rows[0]
	is.Equal(doOrder(t, s, "delete", gone).Done, 1)
	is.True(!exists(dir, "failed", "gone"))
	is.True(!exists(dir, "failed", "gone.json"))
	is.True(exists(dir, "failed")) // no other file was removed
	is.True(exists(dir, "waits"))
}

func TestHeldFailedMessageGoesToTheRemainingRecipients(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	gone := list(t, s, "failed").Rows[0]
	is.Equal(doOrder(t, s, "hold", gone).Done, 1)
	is.True(exists(dir, "hold", "gone"))
	soon(t, "the message is listed as held", func() bool { s.table.expire(nil); return list(t, s, "held").Total == 1 })
	is.Equal(doOrder(t, s, "retry", list(t, s, "held").Rows[0]).Done, 1)
	soon(t, "the message has failed again", func() bool { s.table.expire(nil); return list(t, s, "failed").Total == 1 })
	in := look(t, s, list(t, s, "failed").Rows[0])
	is.Equal(in.People[1].State, "sent")
	is.True(in.People[1].Last.Before(in.People[0].Last)) // ann was not tried again
}

// An operator may be about to edit the status file: flush is refused during a pause, and the pause goes on.
func TestFlushIsRefusedDuringAPause(t *testing.T) {
	is := is.New(t)
	vital, flushed := &fakePulse{last: well()}, false
	vital.last.Paused = true
	s, _ := serve(t, t.TempDir(), Options{Collector: vital, Flush: func() { flushed = true }})
	got := send(s.Handler(), request{method: "POST", path: "/do", header: []string{"Content-Type: application/json"}, body: `{"act":"flush"}`})
	is.Equal(got.Code, http.StatusConflict)
	is.True(strings.Contains(got.Body.String(), "SIGHUP")) // the response says what ends the pause
	is.True(!flushed)
}

func TestActionNeedsTheVersionThatWasShown(t *testing.T) {
	is := is.New(t)
	s, dir := tried(t)
	waits := list(t, s, "deferred", "&q=c@example.com").Rows[0]
	drop(t, dir, "waits", mail("x@example.com", "later@example.org", "another message under the same name", "text\n"))
	for _, act := range []string{"delete", "hold", "retry"} {
		out := doOrder(t, s, act, waits)
		is.Equal(out.Done, 0)
		is.Equal(out.Failed[0].Error, "it has changed since; look again")
	}
	is.True(exists(dir, "waits"))

	// A file of the same name is not overwritten.
	gone := list(t, s, "failed").Rows[0]
	is.NoErr(os.WriteFile(filepath.Join(dir, "hold", "gone"), []byte("held\n"), 0o600))
	is.Equal(doOrder(t, s, "hold", gone).Failed[0].Error, "there is a message of that name already")
	text, err := os.ReadFile(filepath.Join(dir, "hold", "gone"))
	is.NoErr(err)
	is.Equal(string(text), "held\n")
	is.True(exists(dir, "failed", "gone"))

	for _, m := range []shown{
		{File: name(".spoolgore.js")}, {File: name("../outside")}, {File: name("")}, {File: name("tmp")}, {Place: "tmp", File: name("x")},
		{Place: "failed", File: name("gone.json")}, {File: "%"}, {Place: "failed", File: name("../waits")},
	} {
		m.Version = versionAt(dir, m)
		is.Equal(doOrder(t, s, "delete", m).Done, 0) // m.File
	}
	is.True(exists(dir, ".spoolgore.js"))
	is.True(exists(dir, "failed", "gone.json"))
}

// versionAt returns the version of the file that m names, so that only the name can be wrong.
func versionAt(dir string, m shown) string {
	file, _ := base64.RawURLEncoding.DecodeString(m.File)
	fi, err := os.Lstat(filepath.Join(dir, m.Place, string(file)))
	if err != nil {
		return ""
	}
	return versionOf(spooldir.IDOf(fi))
}

func TestInvalidActions(t *testing.T) {
	s, dir := tried(t)
	before := len(names(t, dir))
	tests := map[string]string{
		"nothing":         ``,
		"no JSON":         `act=delete`,
		"another act":     `{"act":"burn","messages":[{"place":"","file":"` + name("waits") + `"}]}`,
		"no messages":     `{"act":"delete"}`,
		"flush and one":   `{"act":"flush","messages":[{"place":"","file":"` + name("waits") + `"}]}`,
		"another field":   `{"act":"delete","all":true}`,
		"too many":        `{"act":"delete","messages":[` + strings.Repeat(`{},`, 300) + `{}]}`,
		"a long one":      `{"act":"flush"` + strings.Repeat(" ", 1<<20) + `}`,
		"names, no files": `{"act":"delete","messages":["waits"]}`,
	}
	for what, body := range tests {
		t.Run(what, func(t *testing.T) {
			is := is.New(t)
			got := send(s.Handler(), request{method: "POST", path: "/do", header: []string{"Content-Type: application/json"}, body: body})
			is.Equal(got.Code, http.StatusBadRequest)
			is.Equal(len(names(t, dir)), before)
		})
	}
}

// A status file in the spool under the name of a message is not listed as a message.
func TestTheStatusFileIsNoMessage(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	is.NoErr(os.WriteFile(filepath.Join(dir, "status.js"), []byte("{}"), 0o600))
	s, _ := serve(t, dir, Options{StatusFile: filepath.Join(dir, "status.js")})
	m := shown{File: name("status.js")}
	m.Version = versionAt(dir, m)
	is.Equal(len(doOrder(t, s, "delete", m).Failed), 1)
	is.True(exists(dir, "status.js"))
	is.Equal(list(t, s, "new,unusable").Total, 0)
}

// A touch would put a file with a temporary name off for an hour. The patterns are those of the daemon.
func TestRetryOfATemporaryName(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	drop(t, dir, "m.own", mail("a@example.com", "b@example.org", "hello", "x"))
	s, _ := serve(t, dir, Options{Temporary: []string{"*.own"}})
	rows := list(t, s, "temporary").Rows
	is.Equal(len(rows), 1)
	before := rows[0].Version
	out := doOrder(t, s, "retry", rows[0])
	is.Equal(len(out.Failed), 1)
	is.True(strings.Contains(out.Failed[0].Error, "rename it"))
	is.Equal(versionAt(dir, rows[0]), before)
}

func TestReadingTakesATwentiethOfTheTime(t *testing.T) {
	is := is.New(t)
	is.Equal(restAfter(time.Millisecond), time.Second)
	is.Equal(restAfter(2*time.Second), 38*time.Second)
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			all = append(all, path)
		}
		return nil
	}))
	return all
}

func TestHealthz(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	ill := spoolgore.RelayHealth{Name: "a:25", Trouble: "dial: refused", Since: ago(6 * time.Minute)}
	fresh := spoolgore.RelayHealth{Name: "a:25", Trouble: "dial: refused", Since: ago(time.Minute)}
	fine := spoolgore.RelayHealth{Name: "b:25"}
	routed := spoolgore.RelayHealth{Name: "c:25", Senders: "@news.example", Trouble: "auth: 535 no", Since: ago(time.Hour)}
	reading := func(relays ...spoolgore.RelayHealth) collector.Snapshot {
		return collector.Snapshot{At: time.Now(), Health: spoolgore.Health{Running: true, Relays: relays}}
	}
	sick := reading(fine)
	sick.Away, sick.Trouble = true, "spool directory is not there"
	hangs, young, paused := reading(fine), collector.Snapshot{}, reading(fine)
	hangs.At = ago(2 * time.Minute)
	paused.Paused = true
	tests := map[string]struct {
		last    collector.Snapshot
		started time.Time
		want    string // text of the reason; empty: no trouble
		dead    bool   // /livez also fails
	}{
		"well":                             {reading(fine), ago(time.Hour), "", false},
		"no relays known":                  {reading(), ago(time.Hour), "", false},
		"just started":                     {young, ago(time.Second), "", false},
		"does not start":                   {young, ago(2 * time.Minute), "hangs", true},
		"the loop hangs":                   {hangs, ago(time.Hour), "hangs", true},
		"the spool is gone":                {sick, ago(time.Hour), "not there", false},
		"one of two relays":                {reading(ill, fine), ago(time.Hour), "", false},
		"the only relay":                   {reading(ill), ago(time.Hour), "a:25 (dial: refused)", false},
		"the only relay, for a moment":     {reading(fresh), ago(time.Hour), "", false},
		"the only relay of a route":        {reading(fine, routed), ago(time.Hour), "for @news.example: c:25 (auth: 535 no)", false},
		"paused, which somebody has asked": {paused, ago(time.Hour), "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			vital := &fakePulse{started: tt.started, last: tt.last}
			s, _ := serve(t, t.TempDir(), Options{Collector: vital})
			got, live := send(s.Handler(), request{path: "/healthz"}), send(s.Handler(), request{path: "/livez"})
			is.Equal(got.Code == http.StatusOK, tt.want == "")
			is.Equal(live.Code == http.StatusOK, !tt.dead)
			is.True(strings.Contains(got.Body.String(), tt.want))
			is.Equal(get[status](t, s, "/status").Healthy, tt.want == "") // the page has the same state
			token, _ := serve(t, t.TempDir(), Options{Collector: vital, Token: secretToken})
			got = send(token.Handler(), request{path: "/healthz"})
			is.Equal(got.Code == http.StatusOK, tt.want == "")
			// the reason is shown only with the token
			is.True(tt.want == "" || !strings.Contains(got.Body.String(), tt.want))
			got = send(token.Handler(), request{path: "/healthz", header: []string{"Authorization: Bearer " + secretToken}})
			is.True(strings.Contains(got.Body.String(), tt.want))
		})
	}
}

func TestHistory(t *testing.T) {
	is := is.New(t)
	at := time.Date(2026, 3, 4, 5, 6, 0, 0, time.UTC)
	vital := &fakePulse{last: well(), past: []collector.Minute{
		{At: at, Files: 3, Counts: collector.Counts{Sent: 1}},
		{At: at.Add(time.Minute), Files: 7, Counts: collector.Counts{Sent: 2, Deferred: 3, Failed: 4}},
	}}
	s, _ := serve(t, t.TempDir(), Options{Collector: vital})
	all := get[map[string][]int64](t, s, "/history")
	is.Equal(all["files"], []int64{3, 7})
	is.Equal(all["failed"], []int64{0, 4})
	later := get[map[string][]int64](t, s, fmt.Sprint("/history?after=", at.Unix()))
	is.Equal(later["at"], []int64{at.Unix() + 60})
	is.Equal(get[map[string][]int64](t, s, fmt.Sprint("/history?after=", at.Unix()+60))["at"], []int64{})
}

// A spool is read only as often as is cheap, with any number of requests.
func TestTheSpoolIsReadOnceForMany(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	s, _ := serve(t, dir, Options{})
	first, err := s.table.get(t.Context(), false, patience)
	is.NoErr(err)
	again, err := s.table.get(t.Context(), false, patience)
	is.NoErr(err)
	is.True(first == again)
	is.True(first.rows == nil) // no request needs the messages
	rows, err := s.table.get(t.Context(), true, patience)
	is.NoErr(err)
	is.True(rows != first && rows.rows != nil)
	again, err = s.table.get(t.Context(), false, patience)
	is.NoErr(err)
	is.True(again == rows)
	s.table.expire(nil)
	again, err = s.table.get(t.Context(), false, patience)
	is.NoErr(err)
	is.True(again != rows && again.rows != nil) // the messages were requested, so they are read for a while
}

func TestMissingSpool(t *testing.T) {
	is := is.New(t)
	s, _ := serve(t, filepath.Join(t.TempDir(), "gone"), Options{})
	st := get[status](t, s, "/status")
	is.True(!st.Healthy)
	is.True(strings.Contains(st.Problems[0], "cannot be read"))
	is.Equal(send(s.Handler(), request{path: "/messages?state=failed"}).Code, http.StatusInternalServerError)
	is.Equal(send(s.Handler(), request{path: "/metrics"}).Code, http.StatusOK)
}

func TestServeEndsWithItsContext(t *testing.T) {
	is := is.New(t)
	s, _ := serve(t, t.TempDir(), Options{})
	l, err := s.Listen("127.0.0.1:0")
	is.NoErr(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String()) // a silent connection does not delay the end
	is.NoErr(err)
	defer conn.Close()
	answer, err := http.Get("http://" + l.Addr().String() + "/healthz")
	is.NoErr(err)
	text, err := io.ReadAll(answer.Body)
	is.NoErr(err)
	is.Equal(string(text), "ok\n")
	stop()
	is.NoErr(<-ended)
	_, err = net.Dial("tcp", l.Addr().String())
	is.True(err != nil)
}

func TestServeReturnsErrors(t *testing.T) {
	is := is.New(t)
	s, _ := serve(t, t.TempDir(), Options{})
	l, err := s.Listen("0")
	is.NoErr(err)
	l.Close()
	err = s.Serve(t.Context(), l)
	is.True(err != nil && !errors.Is(err, http.ErrServerClosed))
}

func TestAPanicIsAnsweredWith500(t *testing.T) {
	is := is.New(t)
	var log strings.Builder
	s, err := New(Options{Dir: t.TempDir(), Collector: &fakePulse{last: well()}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	is.NoErr(err)
	got := send(s.calm(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oh") })), request{})
	is.Equal(got.Code, http.StatusInternalServerError)
	is.True(strings.Contains(log.String(), "oh"))
}

// The page loads no resource from another host, and its policy allows only its own code.
func TestThePageIsOnePiece(t *testing.T) {
	is := is.New(t)
	s, _ := serve(t, t.TempDir(), Options{})
	got := send(s.Handler(), request{})
	text := got.Body.String()
	for _, m := range regexp.MustCompile(`(?:src|href|url|import|action)\s*[=(]\s*["']?([^"')\s>]*)`).FindAllStringSubmatch(text, -1) {
		// no resource of another host; relative paths, for any prefix
		is.True(slices.Contains([]string{"data:,", "#messages", "status"}, m[1]))
	}
	for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", " style=", " onclick="} {
		is.True(!strings.Contains(text, word)) // the page cannot run text as code
	}
	policy := got.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		is.True(strings.Contains(policy, part))
	}
	is.True(!strings.Contains(policy, "unsafe"))
	is.Equal(strings.Count(text, "<script>"), 1)
	is.Equal(strings.Count(text, "<style>"), 1)
}
