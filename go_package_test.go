package spoolgore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// accepting is a Transport that accepts all mail.
var accepting = TransportFunc(func(_ context.Context, tx *Transaction) []Result { return make([]Result, len(tx.To)) })

// Redirect gives a waiting, a held and a failed message another recipient. From then on only the new recipient gets the
// message.
func TestRedirectOfOneMessage(t *testing.T) {
	t.Parallel()
	for place, err := range map[Place]error{
		PlaceSpool: errors.New("later"), PlaceHold: errors.New("later"),
		PlaceFailed: &DeliveryError{Fault: FaultRecipient, Permanent: true, Err: errors.New("no such user")},
	} {
		t.Run("place "+string(place), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, offered := t.TempDir(), []string(nil)
				drop(t, dir, "a", simple)
				s, stop := start(t, dir, Options{Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
					offered = append(offered, tx.To...)
					if tx.To[0] == "new@example.org" {
						return make([]Result, 1)
					}
					return []Result{{Err: err}}
				})})
				pass(time.Second)
				if place == PlaceHold {
					is.NoErr(s.Hold("a"))
					pass(time.Second)
				}
				bad := new(AddressError)
				is.True(errors.As(s.Redirect(place, "a", "no address"), &bad)) // the message is not changed
				is.Equal(bad.Address, "no address")
				is.NoErr(s.Redirect(place, "a", "new@example.org"))
				if place == PlaceHold {
					pass(time.Hour)
					is.Equal(names(t, s, Filter{}), []string{"hold/a held"})
					is.NoErr(s.Release("a"))
				}
				pass(time.Minute)
				is.Equal(names(t, s, Filter{}), nil)
				is.True(s.Redirect(PlaceSpool, "a", "new@example.org") != nil) // the message has been delivered
				stop()
				is.Equal(offered, []string{"b@example.org", "new@example.org"})
			})
		})
	}
}

// After delivery, Put refuses the ID again, at every moment, in this process and in another one, also after a restart,
// until Trace further outcomes have been logged.
func TestPutOfAnIDAfterDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var s *Spool
		again := func(s *Spool) error {
			_, err := putID(s, "order-17")
			return err
		}
		opts := exact(Options{Trace: 3, Transport: accepting})
		sent := false
		opts.OnEvent = func(ev Event) {
			if ev.Kind == EventSent && ev.ID == "order-17" {
				sent = true
				is.True(errors.Is(again(s), ErrDuplicate)) // before .spoolgore.sent is written
			}
		}
		s, stop := start(t, dir, opts)
		name, err := putID(s, "order-17")
		is.NoErr(err)
		pass(time.Second)
		is.True(s.Health().Running)
		is.True(sent)
		is.True(!exists(dir, name))
		is.True(errors.Is(again(s), ErrDuplicate))
		is.True(errors.Is(again(New(dir, Options{})), ErrDuplicate))
		got, _ := putID(s, "order-17")
		is.Equal(got, name)
		stop()
		s, stop = start(t, dir, opts)
		pass(time.Second)
		is.True(errors.Is(again(s), ErrDuplicate))
		for i := range 10 { // two files with three outcomes each
			_, err := putID(s, fmt.Sprint("other-", i))
			is.NoErr(err)
			pass(time.Second)
		}
		is.NoErr(again(s)) // the ID is forgotten
		pass(time.Second)
		stop()
	})
}

// Messages with different IDs are different messages, although everything else is the same. A recipient of the first
// message gets the second message, too, even if the file of the first vanished while no daemon ran.
func TestIDsTellMessagesApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), &ledger{answer: deferB}
		put := func(s *Spool, id string) string {
			env := Envelope{From: "s@x.org", To: []string{"a@x.org", "b@x.org"}, ID: id}
			name, err := s.Put(t.Context(), env, strings.NewReader(simple))
			is.NoErr(err)
			return name
		}
		s, stop := start(t, dir, Options{Transport: relay})
		first := put(s, "1")
		pass(time.Minute)
		stop()
		is.NoErr(s.Delete(PlaceSpool, first))
		second := put(s, "2")
		_, stop = start(t, dir, Options{Transport: relay})
		pass(time.Minute)
		stop()
		is.Equal(relay.accepted(first, "a@x.org"), 1)
		is.Equal(relay.accepted(second, "a@x.org"), 1)
	})
}

// A message with an ID can be put again if no relay has accepted the first message and the first message was deleted.
func TestPutOfAnIDAfterDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		gone := &DeliveryError{Fault: FaultRecipient, Permanent: true, Err: errors.New("no such user")}
		s, stop := start(t, dir, exact(Options{Trace: 10, NoReports: true, Transport: TransportFunc(
			func(_ context.Context, tx *Transaction) []Result { return []Result{{Err: gone}} })}))
		name, err := putID(s, "x")
		is.NoErr(err)
		pass(time.Second)
		_, err = putID(s, "x")
		is.True(errors.Is(err, ErrDuplicate)) // in failed/
		is.NoErr(s.Delete(PlaceFailed, name))
		_, err = putID(s, "x")
		is.NoErr(err)
		pass(time.Second)
		stop()
	})
}

// An HTTP handler can tell a wrong message from a disk error.
func TestPutErrorsOfTheDisk(t *testing.T) {
	for _, tt := range []struct {
		errno error
		full  bool
	}{{syscall.ENOSPC, true}, {syscall.EDQUOT, true}, {syscall.EROFS, false}, {syscall.EIO, false}, {syscall.EMFILE, false}, {syscall.EACCES, false}} {
		for _, op := range []string{"create", "write", "sync", "rename"} {
			t.Run(fmt.Sprint(op, " ", tt.errno), func(t *testing.T) {
				is := is.New(t)
				broken := true
				s := New(t.TempDir(), Options{FailDisk: func(o, path string) error {
					if broken && o == op {
						return tt.errno
					}
					return nil
				}})
				put := func() error {
					return s.Send("a@example.com", []string{"b@example.org"}, []byte(simple))
				}
				err := put()
				is.True(errors.Is(err, ErrSpool))
				is.True(errors.Is(err, tt.errno))
				is.Equal(errors.Is(err, ErrSpoolFull), tt.full)
				is.True(!errors.Is(err, ErrEnvelope) && !errors.Is(err, ErrTooLarge))
				broken = false
				is.NoErr(put())
			})
		}
	}
	is := is.New(t)
	s := New(t.TempDir(), Options{})
	_, err := s.Put(t.Context(), Envelope{To: []string{"b@example.org"}}, failing{})
	is.True(err != nil && !errors.Is(err, ErrSpool)) // the error is that of the reader that the caller gave
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Put(ended, Envelope{To: []string{"b@example.org"}}, strings.NewReader(simple))
	is.True(errors.Is(err, context.Canceled) && !errors.Is(err, ErrSpool))
	is.True(errors.Is(New(filepath.Join(t.TempDir(), "gone"), Options{}).Send("", []string{"b@example.org"}, []byte(simple)), ErrSpool))
}

func TestRateIsText(t *testing.T) {
	is := is.New(t)
	r, err := ParseRate("14/s, 600/m,50000/d")
	is.NoErr(err)
	is.Equal(r, Rate{{14, time.Second}, {600, time.Minute}, {50000, 24 * time.Hour}})
	is.Equal(r.String(), "14/s,600/m,50000/d")
	var config struct{ Rate Rate }
	is.NoErr(json.Unmarshal([]byte(`{"Rate": "5/h"}`), &config))
	is.Equal(config.Rate, Rate{{5, time.Hour}})
	text, err := json.Marshal(config)
	is.NoErr(err)
	is.Equal(string(text), `{"Rate":"5/h"}`)
	for _, bad := range []string{"5", "5/w", "0/s", "-1/s", "x/s"} {
		_, err := ParseRate(bad)
		is.True(err != nil)
	}
	none, err := ParseRate("")
	is.NoErr(err)
	is.Equal(none.String(), "")
	is.True(New(t.TempDir(), Options{SMTPAddr: "x:25", Rate: Rate{{5, time.Minute + 1}}}).Drain(t.Context()) != nil)
}

func acceptLogin(verb, _ string) string {
	if verb == "AUTH" {
		return "235 2.7.0 welcome"
	}
	return ""
}

type panicking struct{ at string }

func (p panicking) Start() (string, []byte, error) {
	if p.at == "Start" {
		panic("sasl")
	}
	return "LOGIN", nil, nil
}

func (p panicking) Next([]byte) ([]byte, error) { panic("sasl") }

// A panic of a function of the application is the outcome of an attempt, and is logged with its stack. The spool goes
// on: when the function works, the message is delivered.
func TestPanicsOfFunctionsOfTheApplication(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(o *Options, broken *atomic.Bool){
		"Options.Dial": func(o *Options, broken *atomic.Bool) {
			dial := o.Dial
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if broken.Load() {
					panic("dial")
				}
				return dial(ctx, network, addr)
			}
		},
		"Options.Dial returned neither": func(o *Options, broken *atomic.Bool) {
			dial := o.Dial
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if broken.Load() {
					return nil, nil
				}
				return dial(ctx, network, addr)
			}
		},
		"SMTP.Secret": func(o *Options, broken *atomic.Bool) {
			o.SMTP.User, o.SMTP.Secret = "ann", func(context.Context, bool) (string, error) {
				if broken.Load() {
					panic("secret")
				}
				return "secret1", nil
			}
		},
		"SMTP.TokenSource": func(o *Options, broken *atomic.Bool) {
			o.SMTP.User, o.SMTP.TokenSource = "ann", func() (string, error) {
				if broken.Load() {
					panic("token")
				}
				return "secret1", nil
			}
		},
		"SMTP.Auth": func(o *Options, broken *atomic.Bool) {
			o.SMTP.User, o.SMTP.Password = "ann", "secret1"
			o.SMTP.Auth = func(string) sasl.Client {
				if broken.Load() {
					panic("auth")
				}
				return nil
			}
		},
		"sasl.Client.Start": func(o *Options, broken *atomic.Bool) {
			o.SMTP.User, o.SMTP.Password = "ann", "secret1"
			o.SMTP.Auth = func(mech string) sasl.Client {
				if broken.Load() {
					return panicking{"Start"}
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, log, broken := t.TempDir(), &lines{}, new(atomic.Bool)
				broken.Store(true)
				relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN LOGIN XOAUTH2"}, Reply: acceptLogin}
				opts := Options{SMTPAddr: "127.0.0.1:25", Dial: relay.Dial, Logger: slog.New(slog.NewTextHandler(log, nil))}
				breakIt(&opts, broken)
				drop(t, dir, "a", simple)
				s, stop := start(t, dir, opts)
				pass(time.Minute)
				trouble := s.Health().Relays[0].Trouble
				is.True(strings.Contains(trouble, name)) // the reason names the function
				broken.Store(false)
				pass(time.Hour)
				is.Equal(len(s.Status()), 0) // delivered
				stop()
				if !strings.Contains(name, "neither") {
					is.True(strings.Contains(log.String(), "go_package_test.go")) // the stack
				}
			})
		})
	}
}

func TestPanicOfBackoff(t *testing.T) {
	t.Parallel()
	for name, backoff := range map[string]func(int) time.Duration{
		"panic": func(int) time.Duration { panic("backoff") }, "negative": func(int) time.Duration { return -time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, calls := t.TempDir(), new(atomic.Int32)
				drop(t, dir, "a", simple)
				s, stop := start(t, dir, Options{Backoff: backoff, Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
					if calls.Add(1) < 3 {
						return []Result{{Err: errors.New("later")}}
					}
					return make([]Result, len(tx.To))
				})})
				pass(50 * time.Second)
				is.Equal(calls.Load(), int32(1)) // the default retry rule
				pass(time.Hour)
				is.Equal(len(s.Status()), 0)
				stop()
			})
		})
	}
}

// A function that returns a secret too late, or never, fails the login. The run ends in time.
func TestSecretThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, ever := t.TempDir(), make(chan bool)
		var calls atomic.Int32
		relay := &smtptest.Relay{Ext: []string{"AUTH PLAIN"}, Reply: acceptLogin}
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, Options{SMTPAddr: "127.0.0.1:25", Dial: relay.Dial, SMTP: SMTP{User: "ann", Secret: func(context.Context, bool) (string, error) {
			if calls.Add(1) == 1 {
				<-ever
			}
			return "secret1", nil
		}}})
		pass(24 * time.Hour)
		is.Equal(len(s.Status()), 0) // delivered with another login
		stop()
		close(ever)
	})
}

type spanKey struct{}

// OnAttempt sees each attempt with its results, in the context of the transport.
func TestOnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, calls, spans := t.TempDir(), 0, []string(nil)
		drop(t, dir, "a", simple)
		s, stop := start(t, dir, Options{
			OnAttempt: func(ctx context.Context, tx *Transaction) (context.Context, func([]Result)) {
				n := len(spans)
				spans = append(spans, fmt.Sprintf("%s to %s", tx.Name, tx.To))
				if n == 2 {
					panic("span")
				}
				return context.WithValue(ctx, spanKey{}, n), func(results []Result) { spans[n] += fmt.Sprint(" ", results[0].Err) }
			},
			Transport: TransportFunc(func(ctx context.Context, tx *Transaction) []Result {
				if calls++; calls < 3 {
					is.Equal(ctx.Value(spanKey{}), calls-1)
					return []Result{{Err: errors.New("later")}}
				}
				return make([]Result, len(tx.To))
			}),
		})
		pass(time.Hour)
		is.Equal(len(s.Status()), 0) // delivered in spite of the panic
		stop()
		is.Equal(spans, []string{"a to [b@example.org] later", "a to [b@example.org] later", "a to [b@example.org]"})
	})
}

// Observe gets events in addition to OnEvent, also after Reconfigure, until it is removed. A panic of one function does
// not affect the others.
func TestObserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events, seen := t.TempDir(), &events{}, &events{}
		opts := exact(Options{Transport: accepting, OnEvent: events.add})
		s, stop := start(t, dir, opts)
		s.Observe(func(Event) { panic("observer") })
		remove := s.Observe(seen.add)
		drop(t, dir, "a", simple)
		pass(time.Minute)
		is.NoErr(s.Reconfigure(opts))
		drop(t, dir, "b", simple)
		pass(time.Minute)
		remove()
		drop(t, dir, "c", simple)
		pass(time.Minute)
		stop()
		is.Equal(events.kinds("b@example.org"), "queued sent queued sent queued sent")
		is.Equal(seen.kinds("b@example.org"), "queued sent queued sent")
		is.Equal(s.Health().Dir, dir) // also between runs
		is.Equal(s.Health().StatusFile, filepath.Join(dir, ".spoolgore.js"))
	})
}

func TestOneSourceOfTheLogin(t *testing.T) {
	is := is.New(t)
	token := func() (string, error) { return "t", nil }
	for _, smtp := range []SMTP{
		{User: "ann", TokenSource: token, Password: "x"},
		{User: "ann", TokenSource: token, Secret: func(context.Context, bool) (string, error) { return "", nil }},
	} {
		_, err := NewSMTP(Options{SMTPAddr: "mail.example.com:587", SMTP: smtp})
		is.True(err != nil)
		_, err = NewSMTP(Options{SMTPAddr: "mail.example.com:587", Routes: []Route{{Sender: "*", SMTPAddr: "x:25", SMTP: smtp}}})
		is.True(err != nil)
	}
	_, err := NewSMTP(Options{SMTPAddr: "mail.example.com:587", SMTP: SMTP{User: "ann", TokenSource: token, TLS: TLSStartTLS}})
	is.NoErr(err)
}
