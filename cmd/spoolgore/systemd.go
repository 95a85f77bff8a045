package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/unbit/spoolgore"
)

const (
	heraldStart = 50 * time.Millisecond // between two looks whether the spool runs
	heraldPace  = 10 * time.Second      // between two looks whether there is something new to tell
	heraldText  = 500                   // bytes of the text, about
)

// A herald tells the service manager that has started the daemon how it is (sd_notify(3)): that the spool is run, that the
// configuration is read again, a line for people, and that the loop is alive. It asks the loop each time, so when that
// hangs the watchdog of the manager goes off.
type herald struct {
	send   func(state string) // to the manager
	health func() spoolgore.Health
	rate   func() float64 // recipients a minute
	pace   time.Duration  // between two looks
	dogged bool           // the manager has a watchdog

	mu     sync.Mutex
	ready  bool
	ending bool
	failed error  // why the configuration was not taken over; nil: it was
	told   string // the line for people
}

// newHerald returns a herald to the manager that the environment names; without one it tells nobody.
func newHerald(health func() spoolgore.Health, rate func() float64) *herald {
	h := &herald{health: health, rate: rate, pace: heraldPace, send: func(state string) {
		_, _ = systemd.SdNotify(false, state) // whoever does not listen needs no telling
	}}
	if watchdog, err := systemd.SdWatchdogEnabled(false); err == nil && watchdog > 0 {
		h.dogged, h.pace = true, min(heraldPace, watchdog/3)
	}
	return h
}

// start tells all along, until end is called.
func (h *herald) start() (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.run(ctx)
	}()
	return func() {
		stop()
		<-ended
		h.stopping()
	}
}

func (h *herald) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(h.look())
	}
}

// look asks how the spool is, tells what is new, and returns the time to the next look.
func (h *herald) look() time.Duration {
	health := h.health()
	if !health.Running {
		return heraldStart
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var state []string
	if !h.ready {
		h.ready = true
		state = append(state, systemd.SdNotifyReady)
	}
	if h.dogged {
		state = append(state, systemd.SdNotifyWatchdog)
	}
	if text := h.text(health); text != h.told {
		h.told = text
		state = append(state, "STATUS="+text)
	}
	if len(state) > 0 {
		h.send(strings.Join(state, "\n"))
	}
	return h.pace
}

// reloading tells that the configuration is being read.
func (h *herald) reloading() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready { // before, it is too early to say so afterwards
		h.send(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	}
}

// reloaded tells that it was read; err is why it was not taken over.
func (h *herald) reloaded(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
	if h.ready {
		h.send(systemd.SdNotifyReady)
	}
}

// stopping tells, once, that the end has begun.
func (h *herald) stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending {
		return
	}
	h.ending = true
	h.send(systemd.SdNotifyStopping)
}

// text is the line for people: "12 waiting, 3 sent/min; relay mail.example.com:25 rests: 535 5.7.8 no".
func (h *herald) text(health spoolgore.Health) string {
	parts := []string{fmt.Sprintf("%d waiting, %s sent/min", health.Files, perMinute(h.rate()))}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if h.failed != nil {
		add("new configuration not taken over: %v", h.failed)
	}
	if health.Paused {
		add("paused")
	}
	switch {
	case health.Away:
		add("the spool is not there: %s", health.Trouble)
	case health.Trouble != "":
		add("the spool cannot be worked on: %s", health.Trouble)
	}
	if !health.RateWait.IsZero() {
		add("the rate limit holds mail back")
	}
	for _, r := range health.Relays {
		if r.Trouble != "" {
			add("relay %s rests: %s", r.Name, r.Trouble)
		}
	}
	if h.ending {
		parts = append([]string{"ending"}, parts...)
	}
	return brief(strings.Join(parts, "; "))
}

func perMinute(n float64) string {
	if n > 0 && n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// brief makes a line of text that may hold what a relay has said: a line more would be one to the manager.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= heraldText {
		return text
	}
	return strings.ToValidUTF8(text[:heraldText], "") + "…"
}
