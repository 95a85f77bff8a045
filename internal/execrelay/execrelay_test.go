//go:build unix

package execrelay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// program writes a shell script and returns the relay that runs it.
func program(t *testing.T, script string) *Relay {
	t.Helper()
	return logging(t, script, io.Discard)
}

func logging(t *testing.T, script string, log io.Writer) *Relay {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay")
	syscall.ForkLock.RLock() // otherwise a process that another test starts inherits the open file: ETXTBSY
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(prefix+path, time.Minute, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	envelope = Envelope{Name: "m1", From: "f@x.org", To: []string{"a@x.org", "b@x.org"}, Size: 9}
	text     = "A: b\r\n\r\nc"
)

func TestOutcomes(t *testing.T) {
	refused := func(reply string) string { return `echo '{"to":"b@x.org","reply":"` + reply + `"}'` }
	forAll := func(reply string) string { return `echo '{"reply":"` + reply + `"}'` }
	rows := map[string]struct {
		script string
		each   []string // fault and reply of each recipient; one element: for all recipients
	}{
		"exit 0":         {"", []string{"accepted"}},
		"exit 0, text":   {"echo; echo 'Queued as 17'", []string{"accepted Queued as 17"}},
		"exit 0, JSON":   {`echo '{"id":"<1@x>"}'`, []string{`accepted {"id":"<1@x>"}`}},
		"one refused":    {refused("550 5.1.1 no user"), []string{"accepted", "recipient permanent 550 5.1.1 no user"}},
		"one deferred":   {refused("450 4.2.0 later"), []string{"accepted", "recipient 450 4.2.0 later"}},
		"one throttled":  {refused("451 4.3.2 busy"), []string{"accepted", "recipient 451 4.3.2 busy"}},
		"all":            {forAll("250 id 7"), []string{"accepted 250 id 7"}},
		"all but one":    {forAll("250 id 7") + ";" + refused("550 no"), []string{"accepted 250 id 7", "recipient permanent 550 no"}},
		"without a code": {refused("queued"), []string{"accepted", "accepted 250 queued"}},
		"67":             {refused("unknown") + "; exit 67", []string{"recipient", "recipient permanent 550 unknown"}},
		"67, accepted":   {refused("250 ok") + "; exit 67", []string{"recipient", "accepted 250 ok"}},
		"65":             {forAll("554 5.6.0 bad") + "; exit 65", []string{"recipient permanent 554 5.6.0 bad"}},
		"68":             {forAll("no host") + "; exit 68", []string{"recipient permanent 550 no host"}},
		"77":             {forAll("not allowed") + "; exit 77", []string{"recipient permanent 550 not allowed"}},
		"67 alone":       {"echo unknown; exit 67", []string{"relay"}},
		"1":              {forAll("550 no") + "; exit 1", []string{"relay"}},
		"75":             {"exit 75", []string{"relay"}},
		"126":            {"exec /", []string{"relay"}},
		"127":            {"no-such-command", []string{"relay"}},
		"a signal":       {"kill -9 $$", []string{"relay uncertain"}},
		"a quota":        {forAll("550 5.4.5 quota exceeded") + "; exit 77", []string{"relay 550 5.4.5 quota exceeded"}},
		"control codes":  {`printf '{"reply":"250 a\\u0007\\nb"}\n'`, []string{"accepted 250 a? b"}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			outcomes := program(t, "cat >/dev/null\n"+row.script).Deliver(context.Background(), envelope, strings.NewReader(text))
			var got []string
			for _, o := range outcomes {
				is.Equal((o.Err == nil), o.Fault == attempt.None)
				words := "accepted"
				if o.Err != nil {
					words = o.Fault.String()
				}
				if o.Permanent {
					words += " permanent"
				}
				if o.Uncertain {
					words += " uncertain"
				}
				got = append(got, strings.TrimSpace(words+" "+o.Reply))
			}
			want := row.each
			if len(want) == 1 {
				want = append(want, want[0])
			}
			is.Equal(got, want)
		})
	}
}

func TestNoQuotas(t *testing.T) {
	is := is.New(t)
	r := program(t, `cat >/dev/null; echo '{"reply":"550 5.4.5 quota exceeded"}'; exit 77`)
	r.NoQuotas = true
	for _, o := range r.Deliver(t.Context(), envelope, strings.NewReader(text)) {
		is.Equal(o.Fault, attempt.Recipient)
		is.True(o.Permanent)
	}
}

func TestTheProgramGetsMessageAndEnvelope(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	r := program(t, "cat >"+dir+"/message; cat <&3 >"+dir+"/envelope; echo $# >"+dir+"/arguments")
	e := envelope
	e.EnvID, e.Notify = "id", []string{"NEVER", ""}
	is.Equal(r.Deliver(context.Background(), e, strings.NewReader(text))[0].Err, nil)
	for file, want := range map[string]string{
		"message":   text,
		"arguments": "0\n",
		"envelope": `{"name":"m1","from":"f@x.org","to":["a@x.org","b@x.org"],"size":9,"envid":"id",` +
			`"notify":["NEVER",""]}` + "\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		is.NoErr(err)
		is.Equal(string(got), want)
	}
}

// A large envelope and a large message do not block each other, in whatever order the program reads them.
func TestOrderOfReading(t *testing.T) {
	is := is.New(t)
	e := Envelope{From: "f@x.org"}
	for range 20_000 {
		e.To = append(e.To, "recipient@x.org")
	}
	for _, script := range []string{"cat >/dev/null; cat <&3 >/dev/null", "cat <&3 >/dev/null; cat >/dev/null"} {
		content := bytes.NewReader(make([]byte, 1<<20))
		is.Equal(program(t, script).Deliver(context.Background(), e, content)[19_999].Err, nil)
	}
	// the program does not read the envelope
	is.Equal(program(t, "exec cat >/dev/null").Deliver(context.Background(), e, strings.NewReader(text))[0].Err, nil)
}

func TestAnAcceptanceOfAnUnreadMessageIsRelayTrouble(t *testing.T) {
	is := is.New(t)
	content := bytes.NewReader(make([]byte, 1<<20))
	o := program(t, "exit 0").Deliver(context.Background(), envelope, content)[0]
	is.Equal(o.Fault, attempt.Relay)
	is.Equal(o.Err, errNotRead)
}

// A message that cannot be read completely is not accepted, whatever the program says.
func TestErrorOfTheContent(t *testing.T) {
	is := is.New(t)
	broken := errors.New("input/output error")
	content := io.MultiReader(strings.NewReader(text), errorReader{broken})
	o := program(t, "cat >/dev/null").Deliver(context.Background(), envelope, content)[0]
	is.Equal(o.Fault, attempt.Message)
	is.Equal(o.Err, broken)
	is.True(!o.Permanent)
}

type errorReader struct{ error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.error }

func TestEndOfTheContextKillsTheProgram(t *testing.T) {
	is := is.New(t)
	ready := filepath.Join(t.TempDir(), "ready")
	r := program(t, "cat >/dev/null; mkfifo "+ready+"; echo >"+ready+"; sleep 600 & wait")
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("the spool is being stopped")
	go func() {
		for {
			if f, err := os.Open(ready); err == nil {
				_ = f.Close()
				cancel(stopped)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	o := r.Deliver(ctx, envelope, strings.NewReader(text))[0]
	is.True(errors.Is(o.Err, stopped))
	is.Equal(o.Fault, attempt.Relay)
	is.True(o.Uncertain) // the program had the whole message
}

func TestTimeLimit(t *testing.T) {
	is := is.New(t)
	r := program(t, "exec sleep 600")
	r.limit = time.Millisecond
	o := r.Deliver(context.Background(), envelope, strings.NewReader(text))[0]
	is.Equal(o.Fault, attempt.Relay)
	is.True(strings.Contains(o.Err.Error(), "no end within"))
}

func TestStandardErrorIsLogged(t *testing.T) {
	is := is.New(t)
	var log bytes.Buffer
	r := logging(t, `cat >/dev/null; printf 'tok\033en\n' >&2; yes | head -50 >&2`, &log)
	is.Equal(r.Deliver(context.Background(), envelope, strings.NewReader(text))[0].Err, nil)
	is.True(strings.Contains(log.String(), `output=tok?en`))
	is.Equal(strings.Count(log.String(), "\n"), maxLines)
}

func TestThePathIsChecked(t *testing.T) {
	is := is.New(t)
	for _, path := range []string{"", "relay", "./relay", "/bin/relay -v", "/bin/rel\nay"} {
		_, err := New(prefix+path, 0, slog.Default())
		is.True(err != nil)
	}
	r, err := New("exec:/no/such/program", 0, slog.Default())
	is.NoErr(err)
	is.Equal(r.Name(), "exec:/no/such/program")
	o := r.Deliver(context.Background(), envelope, strings.NewReader(text))[0]
	is.Equal(o.Fault, attempt.Relay)
	is.True(errors.Is(o.Err, os.ErrNotExist))
}

func TestSecretsAreNotInTheEnvironment(t *testing.T) {
	is := is.New(t)
	t.Setenv("SPOOLGORE_SMTPPASSWORD", "geheim")
	r := program(t, `cat >/dev/null; [ -z "$SPOOLGORE_SMTPPASSWORD" ]`)
	is.Equal(r.Deliver(context.Background(), envelope, strings.NewReader(text))[0].Err, nil)
}

func FuzzOutput(f *testing.F) {
	f.Add([]byte(`{"to":"a@x.org","reply":"550 5.1.1 no"}`), true)
	f.Add([]byte("250\n{\"reply\":\"999\"}"), false)
	r := &Relay{path: "/p"}
	f.Fuzz(func(t *testing.T, output []byte, failed bool) {
		o := r.outcome(parse(output), "a@x.org", output, failed)
		if (o.Err == nil) != (o.Fault == attempt.None) || len(o.Reply) > maxText+16 || strings.ContainsAny(o.Reply, "\r\n\x1b") {
			t.Errorf("%q: %+v", output, o)
		}
	})
}
