package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/textline"
)

const (
	startInterval = 50 * time.Millisecond // between two looks until the spool runs
	lookInterval  = 5 * time.Second       // between two looks while there are changes
	longInterval  = time.Hour             // between two looks while there are none
	maxStatusText = 500                   // bytes

	isReady, isAlive, isReloading, isStopping = "READY=1", "WATCHDOG=1", "RELOADING=1", "STOPPING=1"
)

// A notifier sends the state of the daemon to the service manager (sd_notify(3)): ready, reloading, a line for people,
// alive. It asks the loop of the spool each time: if the loop hangs, the watchdog of the manager ends the daemon.
type notifier struct {
	send    func(state string) // to the manager
	health  func() spoolgore.Health
	rate    func() float64 // recipients a minute
	pace    time.Duration  // between two looks while there are changes
	long    time.Duration  // between two looks while there are none
	watched bool           // the manager has a watchdog
	alone   bool           // there is no manager
	woken   chan struct{}  // has room for one: there may be a change

	mu     sync.Mutex
	ready  bool
	ending bool
	failed error  // why the last reload failed; nil: it succeeded
	status string // the line for people
}

// newNotifier returns a notifier for the manager of the environment. Without a manager the notifier does nothing.
func newNotifier(health func() spoolgore.Health, rate func() float64) *notifier {
	n := &notifier{
		health: health, rate: rate, pace: lookInterval, long: longInterval, send: notify, alone: !managed(),
		woken: make(chan struct{}, 1),
	}
	if watchdog := watchdog(); watchdog > 0 {
		n.watched, n.pace, n.long = true, min(lookInterval, watchdog/3), min(longInterval, watchdog/3)
	}
	return n
}

// look makes the notifier look for changes soon, and does not block.
func (n *notifier) look(spoolgore.Health) {
	select {
	case n.woken <- struct{}{}:
	default:
	}
}

// start sends changes until end is called.
func (n *notifier) start() (end func()) {
	if n.alone {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.run(ctx)
	}()
	return func() {
		stop()
		<-ended
		n.stopping()
	}
}

func (n *notifier) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	last, due := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.woken:
			if at := last.Add(n.pace); at.Before(due) {
				due = at
				timer.Reset(time.Until(due))
			}
			continue
		case <-timer.C:
		}
		last = time.Now()
		wait := n.tell()
		due = time.Now().Add(wait)
		timer.Reset(wait)
	}
}

// tell sends changes of the state and returns the time to the next look.
func (n *notifier) tell() time.Duration {
	health := n.health()
	if !health.Running {
		return startInterval
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var state []string
	if !n.ready {
		n.ready = true
		state = append(state, isReady)
	}
	if n.watched {
		state = append(state, isAlive)
	}
	wait := n.long
	if text := n.text(health); text != n.status {
		n.status, wait = text, n.pace
		state = append(state, "STATUS="+text)
	}
	if len(state) > 0 {
		n.send(strings.Join(state, "\n"))
	}
	return wait
}

// reloading sends that a reload has begun.
func (n *notifier) reloading() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready { // before the first READY=1 the manager expects no reload
		n.send(isReloading + "\n" + monotonic())
	}
}

// reloaded sends the result of a reload: err is why it failed.
func (n *notifier) reloaded(err error) {
	health := n.health()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed = err
	if n.ready {
		n.status = n.text(health)
		n.send(isReady + "\nSTATUS=" + n.status)
	}
}

// stopping sends, once, that the daemon stops.
func (n *notifier) stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ending || n.alone {
		return
	}
	n.ending = true
	n.send(isStopping)
}

// text returns the line for people: "12 waiting, 3 sent/min; relay mail.example.com:25 rests: 535 5.7.8 no".
func (n *notifier) text(health spoolgore.Health) string {
	parts := []string{fmt.Sprintf("%d waiting, %s sent/min", health.Files, perMinute(n.rate()))}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if n.failed != nil {
		add("reload failed: %v", n.failed)
	}
	if health.Paused {
		add("paused")
	}
	switch {
	case health.Away:
		add("spool directory missing: %s", health.Trouble)
	case health.Trouble != "":
		add("spool directory failing: %s", health.Trouble)
	}
	if !health.RateWait.IsZero() {
		add("waiting for the rate limit")
	}
	for _, r := range health.Relays {
		if r.Trouble != "" {
			add("relay %s rests: %s", r.Name, r.Trouble)
		}
	}
	if n.ending {
		parts = append([]string{"stopping"}, parts...)
	}
	return brief(strings.Join(parts, "; "))
}

func perMinute(n float64) string {
	if n > 0 && n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// brief returns text as one short line. It may have a reply of a relay, in which a line end would begin another message
// to the manager.
func brief(text string) string {
	text = textline.Of(text, 0)
	if len(text) <= maxStatusText {
		return text
	}
	return strings.ToValidUTF8(text[:maxStatusText], "") + "…"
}
