package smtpclient

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// connections opens n connections at the same time and returns the number of AUTH commands.
func connections(t *testing.T, r *smtptest.Relay, cfg Config, n int) (auths int) {
	before := countAuth(r)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if c, err := open(t.Context(), r, local, cfg); err == nil {
				_ = c.Quit()
			}
		})
	}
	wg.Wait()
	return countAuth(r) - before
}

func countAuth(r *smtptest.Relay) (n int) {
	for _, line := range r.Commands() {
		if strings.HasPrefix(line, "AUTH ") {
			n++
		}
	}
	return n
}

func static(context.Context, bool) (string, error) { return "wrong", nil }

// With any number of connections, a wrong password is tried only a few times.
func TestFailedLoginsAreFew(t *testing.T) {
	for name, reply := range map[string]string{"535": "535 5.7.8 no", "454": "454 4.7.0 later", "421": "421 bye|close", "closed": "close"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Reply: script(map[string]string{"AUTH": reply})}
				cfg := Config{Auth: Credentials{User: "ann", Password: static}.Auth(), Logins: new(Logins)}
				began, total := time.Now(), 0
				for time.Since(began) < failureWindow {
					total += connections(t, r, cfg, 20)
					time.Sleep(time.Second / 2)
				}
				is.True(total >= 1 && total <= maxFailures)
				if name == "535" {
					is.Equal(total, refusedTwice)
					time.Sleep(10 * time.Minute)
					is.Equal(connections(t, r, cfg, 20), 1) // one login a minute
					is.Equal(connections(t, r, cfg, 20), 0)
				}
			})
		})
	}
}

// After a successful login, several connections log in at the same time. One failure ends that.
func TestLoginsAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		fails := false
		r := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}}
		r.Reply = func(verb, _ string) string {
			switch {
			case verb != "AUTH":
				return ""
			case fails:
				return "535 5.7.8 no"
			}
			return "235 ok"
		}
		cfg := Config{Auth: Credentials{User: "ann", Password: static}.Auth(), Logins: new(Logins)}
		is.Equal(connections(t, r, cfg, 50), 50)
		fails = true
		is.True(connections(t, r, cfg, 50) <= maxFailures)
		fails = false
		time.Sleep(2 * time.Minute)
		is.Equal(connections(t, r, cfg, 50), 50) // all connections log in again
	})
}

// If a mechanism fails although it is offered, the next one is tried and remembered.
func TestNextMechanism(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		r := &smtptest.Relay{Ext: []string{"AUTH LOGIN PLAIN CRAM-MD5"}, Users: map[string]string{"ann": "wrong"}}
		r.Reply = func(verb, arg string) string {
			if verb == "AUTH" && strings.HasPrefix(arg, "PLAIN") {
				return "504 5.7.4 Unrecognized Authentication Type"
			}
			return ""
		}
		cfg := Config{Auth: Credentials{User: "ann", Password: static}.Auth(), Logins: new(Logins)}
		_, err := open(t.Context(), r, local, cfg)
		is.True(err != nil)
		is.True(cfg.Logins.Another()) // at once
		for range 3 {
			c, err := open(t.Context(), r, local, cfg)
			is.NoErr(err)
			is.Equal(c.mech, "LOGIN")
			is.NoErr(c.Quit())
		}
		is.Equal(cfg.Logins.String(), "AUTH PLAIN fails")
	})
}

// An expired token is renewed, whatever the code of the reply; in the next session, if the relay has closed this one.
func TestExpiredTokenIsRenewed(t *testing.T) {
	for _, reply := range []string{"535 5.7.3 expired", "454 4.7.0 expired", "530 5.7.0 expired", "421 4.7.0 expired|close"} {
		t.Run(reply[:3], func(t *testing.T) {
			is := is.New(t)
			token := "old"
			r := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}}
			r.Reply = func(verb, arg string) string {
				if verb == "AUTH" && token == "old" {
					return reply
				}
				if verb == "AUTH" {
					return "235 ok"
				}
				return ""
			}
			renewed := func(_ context.Context, again bool) (string, error) {
				if again {
					token = "new"
				}
				return token, nil
			}
			cfg := Config{Auth: Credentials{User: "ann", Password: renewed}.Auth(), Logins: new(Logins)}
			c, err := open(t.Context(), r, local, cfg)
			if reply[:3] == "421" {
				is.True(err != nil)
				c, err = open(t.Context(), r, local, cfg)
			}
			is.NoErr(err)
			is.Equal(token, "new")
			is.NoErr(c.Quit())
		})
	}
}

func TestMechanismsAsOldServersNameThem(t *testing.T) {
	for _, ext := range [][]string{
		{"AUTH=PLAIN"}, {"AUTH=LOGIN PLAIN"}, {"AUTH GSSAPI", "AUTH=PLAIN"}, {"AUTH GSSAPI", "AUTH PLAIN"}, {"auth\tgssapi plain"},
	} {
		is := is.New(t)
		r := &smtptest.Relay{Ext: ext, Users: map[string]string{"ann": "wrong"}}
		_, err := open(t.Context(), r, local, Config{Auth: Credentials{User: "ann", Password: static, Mechanism: "PLAIN"}.Auth()})
		is.NoErr(err)
	}
}

// The text of the prompts of LOGIN does not matter.
func TestPromptsOfLOGIN(t *testing.T) {
	for _, prompt := range []string{"334 Username:", "334 ok, your user name", "334 ", "334", "334 VXNlcm5hbWU", "334 VXNlcm5hbWU6 (user)"} {
		is := is.New(t)
		lines := 0
		r := &smtptest.Relay{Ext: []string{"AUTH LOGIN"}, Reply: func(verb, _ string) string {
			if verb != "AUTH" {
				return ""
			}
			if lines++; lines <= 2 {
				return prompt
			}
			return "235 ok"
		}}
		_, err := open(t.Context(), r, local, Config{Auth: Credentials{User: "ann", Password: static}.Auth()})
		is.NoErr(err)
	}
}
