package smtpclient

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	loginsAtOnce  = 3                // logins in progress at the same time, after a successful login
	refusedTwice  = 2                // complete exchanges refused with 535 after which logins are rare
	loginPause    = time.Minute      // time between two logins then
	failureWindow = 30 * time.Second // a relay sees at most maxFailures failed logins in a failureWindow
	maxFailures   = 4
)

// Logins are facts about the logins at a relay. The connections to the relay share the Logins. A provider locks an
// account after some failed logins, and a host bans an address. So there is one login at a time until a login has
// succeeded, and few failed logins in any period. The zero value holds no facts. Any goroutine may call the methods.
type Logins struct {
	secrets  secrets // of all sessions; masked in replies
	mu       sync.Mutex
	running  int                  // logins in progress
	changed  chan struct{}        // closed when a login ends; nil: no login waits
	proven   bool                 // the last login succeeded
	failed   map[string]time.Time // mechanisms that failed, with the time until another mechanism is preferred
	refused  int                  // complete exchanges refused with 535 since the last success
	failures []time.Time          // times of failed logins in the last failureWindow
	next     time.Time            // no login before next
	renew    bool                 // the secret may have expired
	last     *Error               // error of the last failed login
	moreWays bool                 // the next login uses another mechanism than the last failed login
}

// Wait returns the error of the last login if no login is allowed now: a connection would be in vain.
func (l *Logins) Wait() *Error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused()
}

// paused is Wait. The caller holds l.mu.
func (l *Logins) paused() *Error {
	if l.last == nil || !time.Now().Before(l.next) {
		return nil
	}
	e := *l.last
	return &e
}

// Another reports whether the last login failed and another mechanism can be tried at once.
func (l *Logins) Another() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moreWays && l.paused() == nil
}

// begin waits until a login is allowed, and returns the mechanisms that failed, and whether the secret must be renewed.
func (l *Logins) begin(ctx context.Context) (failed []string, renew bool, err *Error) {
	if l == nil {
		return nil, false, nil
	}
	for {
		l.mu.Lock()
		if err := l.paused(); err != nil {
			l.mu.Unlock()
			return nil, false, err
		}
		if l.running == 0 || l.proven && l.running < loginsAtOnce {
			l.running++
			maps.DeleteFunc(l.failed, func(_ string, until time.Time) bool { return !time.Now().Before(until) })
			failed, renew = slices.Collect(maps.Keys(l.failed)), l.renew
			l.mu.Unlock()
			return failed, renew, nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, authError(context.Cause(ctx))
		}
	}
}

// end records the result of a login with mech. others is set if there are other mechanisms that have not failed.
// complete is set if the relay has received the complete credentials.
func (l *Logins) end(mech string, others, complete bool, err *Error) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	switch {
	case err == nil:
		l.proven, l.refused, l.failures, l.last, l.renew, l.moreWays = true, 0, nil, nil, false, false
		return
	case mech == "": // no login was made
		l.last, l.moreWays = err, false
		return
	}
	l.fail(mech, others, complete, err)
}

// fail records a failed login. The caller holds l.mu.
func (l *Logins) fail(mech string, others, complete bool, err *Error) {
	now := time.Now()
	l.proven, l.last, l.renew = false, err, true
	if l.failed == nil {
		l.failed = make(map[string]time.Time)
	}
	l.failed[mech] = now.Add(learnedFor)
	l.moreWays = others
	if !others { // every mechanism has failed: the credentials may be wrong
		clear(l.failed)
	}
	if complete && err.Reply.Code == 535 {
		l.refused++
	}
	isOld := func(at time.Time) bool { return now.Sub(at) >= failureWindow }
	l.failures = slices.DeleteFunc(append(l.failures, now), isOld)
	if len(l.failures) >= maxFailures {
		l.next = l.failures[len(l.failures)-maxFailures].Add(failureWindow)
	}
	if l.refused >= refusedTwice {
		l.next = now.Add(loginPause)
	}
}

// completes reports whether an exchange is complete after so many challenges.
func completes(mech string, challenges int) bool {
	switch {
	case mech == "LOGIN":
		return challenges >= 2
	case strings.HasPrefix(mech, "SCRAM-"), mech == cramMD5:
		return challenges >= 1
	}
	return true
}

// String returns the mechanisms that failed, for status output.
func (l *Logins) String() string {
	if l == nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failed) == 0 {
		return ""
	}
	return fmt.Sprintf("AUTH %s fails", strings.Join(slices.Sorted(maps.Keys(l.failed)), ", "))
}
