package smtpclient

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// probe runs Probe with a relay in memory. The content must not be read.
func probe(t *testing.T, r *smtptest.Relay, addr string, cfg Config, to ...string) (Survey, []Result, error) {
	t.Helper()
	nc, err := r.Dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.LocalName = "client.test"
	return Probe(t.Context(), nc, cfg, &Transaction{From: "from@client.test", To: to, Size: 100, Content: unreadableContent{}})
}

type unreadableContent struct{}

func (unreadableContent) Read([]byte) (int, error) { panic("the content is read") }

func TestProbeAsksAndSendsNothing(t *testing.T) {
	inEachMode(t, func(t *testing.T, m mode, r *smtptest.Relay) {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			r.Reply = script(map[string]string{"RCPT no@x": "550 5.1.1 no such user", "RCPT later@x": "451 4.7.1 greylisted"})
			found, results, err := probe(t, r, remote, Config{}, "yes@x", "no@x", "later@x", "also@x")
			is.NoErr(err)
			is.Equal(found.Offers, m.ext) // the extensions as the relay writes them
			var said []string
			for _, res := range results {
				text := "taken"
				if res.Err != nil {
					text = res.Err.Reply.String()
				}
				said = append(said, text)
			}
			is.Equal(said, []string{"taken", "550 5.1.1 no such user", "451 4.7.1 greylisted", "taken"})
			is.Equal(len(r.Messages()), 0) // no message was sent
			verbs := r.Commands()
			is.Equal(verbs[len(verbs)-2:], []string{"RSET", "QUIT"}) // the transaction is reset
			is.True(!slices.ContainsFunc(verbs, func(c string) bool { return c == "DATA" || strings.HasPrefix(c, "BDAT") }))
		})
	})
}

func TestProbeReportsTheStepThatFailed(t *testing.T) {
	config, pool := serverTLS(t, "relay.test")
	refused := script(map[string]string{"AUTH": "535 5.7.8 no"})
	for name, c := range map[string]struct {
		relay  *smtptest.Relay
		cfg    Config
		op     attempt.Op // step of the error; empty: no error
		secure bool       // TLS was used
		mech   string
		offers int
	}{
		"all":           {&smtptest.Relay{Ext: []string{"STARTTLS", "AUTH PLAIN", "SIZE"}, TLS: config, Users: map[string]string{"u": "p"}}, Config{TLSConfig: &tls.Config{RootCAs: pool}, Auth: Plain("u", "p")}, "", true, "PLAIN", 2},
		"refused login": {&smtptest.Relay{Ext: []string{"STARTTLS", "AUTH PLAIN"}, TLS: config, Reply: refused}, Config{TLSConfig: &tls.Config{RootCAs: pool}, Auth: Plain("u", "p")}, attempt.OpAuth, true, "PLAIN", 1},
		"unknown":       {&smtptest.Relay{Ext: []string{"STARTTLS", "SIZE"}, TLS: config}, Config{}, attempt.OpTLS, false, "", 2},
		"greeting":      {&smtptest.Relay{Reply: script(map[string]string{"CONNECT": "554 5.7.1 go away"})}, Config{}, attempt.OpGreeting, false, "", 0},
		"no login":      {&smtptest.Relay{Ext: []string{"SIZE"}}, Config{Auth: Plain("u", "p")}, attempt.OpAuth, false, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			c.cfg.Host = "relay.test"
			found, results, err := probe(t, c.relay, remote, c.cfg, "a@x")
			is.Equal(asError(err).Op, c.op)                // the step that failed
			is.Equal(results != nil, c.op == "")           // results only without an error
			is.Equal(found.TLS != nil, c.secure)           // whether TLS was used
			is.Equal(found.Mechanism, c.mech)              // the mechanism of AUTH
			is.Equal(len(found.Offers), c.offers)          // extensions of the last reply to EHLO
			is.Equal(len(c.relay.Messages()), 0)           // no message was sent
			is.True(c.op != "" || asError(err).Err == nil) // an error has a cause
		})
	}
}

// A hostile relay ends a probe in time. Its extensions cannot have control characters.
func TestProbeOfAHostileRelay(t *testing.T) {
	for verb, answer := range map[string]string{
		"MAIL": "250 ok\r\n250 ok", "RCPT": "250-" + strings.Repeat("x", 1<<20), "RSET": "hang", "QUIT": "stall",
	} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r := &smtptest.Relay{Ext: []string{"PIPELINING", "X-\x1b[2J evil\x07"}, Reply: script(map[string]string{verb: answer})}
				start := time.Now()
				found, results, err := probe(t, r, remote, Config{}, "a@x", "b@x")
				is.NoErr(err)
				is.Equal(len(results), 2)                   // each recipient has a reply or an error
				is.Equal(found.Offers[1], "X-?[2J evil?")   // no control characters
				is.True(time.Since(start) < 10*time.Minute) // the probe ends
			})
		})
	}
}

func TestProbeWithoutReplyIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := &smtptest.Relay{Reply: script(map[string]string{"RCPT": "hang"})}
		_, results, err := probe(t, r, remote, Config{Timeout: time.Minute}, "a@x")
		is.NoErr(err)
		is.True(results[0].Err != nil && !errors.Is(results[0].Err, io.EOF)) // no answer is an error, not a yes
	})
}
