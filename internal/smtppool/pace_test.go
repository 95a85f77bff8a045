package smtppool

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A meter accepts at most n messages in any period, and refuses the others.
type meter struct {
	n       int
	per     time.Duration
	reply   string
	latency time.Duration

	mu      sync.Mutex
	taken   []time.Time
	refused int
}

func (m *meter) answer(verb, _ string) string {
	if verb != "END" {
		return ""
	}
	time.Sleep(m.latency)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for len(m.taken) > 0 && now.Sub(m.taken[0]) >= m.per {
		m.taken = m.taken[1:]
	}
	if len(m.taken) >= m.n {
		m.refused++
		return m.reply
	}
	m.taken = append(m.taken, now)
	return ""
}

// sendAll offers n messages as the queue does: as many at a time as the relay has slots. A refused message is offered
// again after pause, behind the messages that were never refused. sendAll returns the time until the last acceptance.
func sendAll(r *Relay, n int, pause time.Duration) time.Duration {
	began := time.Now()
	type entry struct {
		name string
		due  time.Time
	}
	var fresh, refused []entry
	for i := range n {
		fresh = append(fresh, entry{name: fmt.Sprintf("a%d@x.org", i)})
	}
	results := make(chan entry)
	busy := 0
	for len(fresh)+len(refused)+busy > 0 {
		for busy < r.Slots() {
			var e entry
			switch {
			case len(fresh) > 0:
				e, fresh = fresh[0], fresh[1:]
			case len(refused) > 0 && !time.Now().Before(refused[0].due):
				e, refused = refused[0], refused[1:]
			}
			if e.name == "" {
				break
			}
			busy++
			go func() {
				m := mail(e.name)
				m.Content = strings.NewReader(text)
				if offerTo(r, m)[0].Err == nil {
					e.name = ""
				}
				results <- e
			}()
		}
		timer := time.NewTimer(time.Second)
		select {
		case e := <-results:
			busy--
			if e.name != "" {
				e.due = time.Now().Add(pause)
				refused = append(refused, e)
			}
		case <-timer.C:
		}
		timer.Stop()
	}
	return time.Since(began)
}

// A relay with a rate limit gets nearly as much as it accepts, and refuses few messages.
func TestRateOfARelay(t *testing.T) {
	for name, test := range map[string]struct {
		meter *meter
		n     int
		ext   []string
		times float64 // limit as a multiple of the ideal time
		share float64 // limit for the share of refused messages
	}{
		"14/s":             {&meter{n: 14, per: time.Second, reply: "454 Throttling failure: Maximum sending rate exceeded."}, 1000, nil, 1.15, 0.04},
		"14/s, 50 ms":      {&meter{n: 14, per: time.Second, reply: "454 Throttling failure", latency: 50 * time.Millisecond}, 300, nil, 1.15, 0.08},
		"14/s, pipelining": {&meter{n: 14, per: time.Second, reply: "454 Throttling failure", latency: 20 * time.Millisecond}, 300, modes["pipelining"], 1.15, 0.2},
		"14/s, chunking":   {&meter{n: 14, per: time.Second, reply: "454 Throttling failure", latency: 20 * time.Millisecond}, 300, modes["chunking"], 1.15, 0.2},
		"14/s, 451":        {&meter{n: 14, per: time.Second, reply: "451 4.7.1 try later"}, 300, nil, 1.3, 0.3},
		"30/m":             {&meter{n: 30, per: time.Minute, reply: "450 4.7.0 too many messages, slow down"}, 100, nil, 1.6, 0.8},
		"200/s":            {&meter{n: 200, per: time.Second, reply: "421 4.7.0 rate limit exceeded", latency: time.Millisecond}, 1000, nil, 2, 0.15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				relay := &smtptest.Relay{Ext: test.ext, Reply: test.meter.answer}
				r := newRelay(t, relay.Dial, 20)
				took := sendAll(r, test.n, 10*time.Second)
				ideal := time.Duration(float64(test.n-test.meter.n) / float64(test.meter.n) * float64(test.meter.per))
				t.Logf("%d messages in %v, ideal %v (%.2f), %d refusals", test.n, took.Round(time.Second), ideal.Round(time.Second),
					float64(took)/float64(ideal), test.meter.refused)
				is.True(eachOnce(relay, test.n))
				is.True(float64(took) <= test.times*float64(ideal)+10e9)
				is.True(float64(test.meter.refused) <= test.share*float64(test.n))
			})
		})
	}
}

// Greylisting and filters refuse some messages with codes of throttling. Other mail is not delayed.
func TestRefusedMessagesDoNotHoldUpOthers(t *testing.T) {
	for name, reply := range map[string]string{"greylist": "451 4.7.1 Try again later", "421": "421 4.7.0 spam|close", "450": "450 try again"} {
		for _, verb := range []string{"RCPT", "END"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				inModes(t, func(t *testing.T, ext []string) {
					is := is.New(t)
					good := true
					relay := &smtptest.Relay{Ext: ext}
					relay.Reply = func(v, arg string) string {
						if v == "MAIL" {
							good = strings.HasPrefix(arg, "good")
						}
						if v == verb && !good {
							return reply
						}
						return ""
					}
					r := newRelay(t, relay.Dial, 1)
					for i := range 40 {
						go offerTo(r, mail(fmt.Sprintf("a%d@x.org", i)))
					}
					time.Sleep(2 * time.Second)
					began := time.Now()
					for i := range 10 {
						is.Equal(offerTo(r, mail(fmt.Sprintf("good%d@x.org", i)))[0].Err, nil)
					}
					is.True(time.Since(began) < 5*time.Second)
					t.Log(time.Since(began))
				})
			})
		}
	}
}

// Every second message is refused because of its sender, with a reply that asks for less mail. The messages between are
// not delayed, even if they are sent before the reply.
func TestRefusedSenderIsNoLimitOfTheRate(t *testing.T) {
	inModes(t, func(t *testing.T, ext []string) {
		is := is.New(t)
		good := true
		relay := &smtptest.Relay{Ext: ext}
		relay.Reply = func(verb, arg string) string {
			switch verb {
			case "MAIL":
				good = strings.HasPrefix(arg, "good")
			case "END":
				if time.Sleep(10 * time.Millisecond); !good {
					return "450 4.7.1 rate limit exceeded"
				}
			}
			return ""
		}
		r := newRelay(t, relay.Dial, 1)
		for i := range 40 {
			name := []string{"bad", "good"}[i%2]
			go offerTo(r, mail(fmt.Sprintf("%s%d@x.org", name, i)))
			synctest.Wait() // so that the order of offers is known
		}
		time.Sleep(time.Second)
		is.Equal(len(relay.Messages()), 20)
		is.Equal(r.pool.status().slow, false)
	})
}

// A time with few messages is not the rate that a relay accepts. A burst after it goes nearly as fast as the relay
// allows.
func TestBurstAfterAQuietTime(t *testing.T) {
	for _, first := range []int{50, 100, 300} {
		for _, quiet := range []int{3, 4, 5, 8} {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				m := &meter{n: 14, per: time.Second, reply: "454 Throttling failure", latency: 20 * time.Millisecond}
				relay := &smtptest.Relay{Ext: modes["pipelining"], Reply: m.answer}
				r := newRelay(t, relay.Dial, 20)
				sendAll(r, first, 10*time.Second)
				for range quiet {
					time.Sleep(2 * time.Hour)
					is.Equal(offerTo(r, mail("a@x.org"))[0].Err, nil)
				}
				took := sendAll(r, 300, 10*time.Second)
				t.Logf("%d messages, then %d in %d hours, then 300 in %v", first, quiet, 2*quiet, took)
				is.True(took < time.Minute)
			})
		}
	}
}

// While a relay refuses all mail, attempts become rare.
func TestPauseGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		slowed := 0
		relay := &smtptest.Relay{Reply: replyTo("END", "451 4.7.1 not now")}
		r := newRelay(t, relay.Dial, 1)
		r.pool.slowed = func() { slowed++ }
		began := time.Now()
		for range 500 {
			is.True(offerTo(r, mail("a@x.org"))[0].Err.Undecided)
		}
		is.True(time.Since(began) > 5*time.Minute)
		is.Equal(slowed, 1) // reported once
		u := r.Use()
		until, reason := u.SlowedUntil, u.Slowed
		is.True(!until.IsZero())
		is.Equal(reason, "451 4.7.1 not now")
	})
}
