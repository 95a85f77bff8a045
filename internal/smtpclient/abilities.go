package smtpclient

import (
	"sync"
	"time"
)

const (
	learnedFor   = 24 * time.Hour   // time until a broken extension is tried again
	trialPause   = 10 * time.Minute // time between two trials without an extension that was not to blame
	brokenAfter  = 2                // failures without a clear reply after which an extension is broken
	firstLimited = 100              // recipients that every relay must accept (RFC 5321, section 4.5.3.1.8)
)

// Feature is an extension that a relay can offer and not support.
type Feature int

// The features.
const (
	Pipelining Feature = iota // PIPELINING (RFC 2920)
	Chunking                  // CHUNKING (RFC 3030)
	Parameters                // parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, RET, ENVID, NOTIFY, ORCPT
	features
)

// String returns the keyword of the extension.
func (f Feature) String() string { return [...]string{"PIPELINING", "CHUNKING", "MAIL parameters"}[f] }

// Abilities are facts that the connections to one address of a relay have learnt: extensions that are offered and
// broken, and the largest number of recipients in a transaction. A fact is forgotten after a day. The zero value holds
// no facts. Any number of goroutines may call the methods.
//
// A feature that fails is switched off. The next accepted message confirms that the feature was to blame; another
// failure shows that the feature was not to blame, and switches the feature on again.
type Abilities struct {
	mu         sync.Mutex
	features   [features]ability
	recipients int       // largest number of recipients in a transaction; zero: no limit learnt
	until      time.Time // end of the validity of recipients
	changes    uint64    // number of features found broken, and of limits learnt
	notReport  time.Time // the relay refuses the null sender until notReport, as far as known
	notNull    time.Time // empty chunks are not sent until notNull; zero: they are sent
	between    time.Time // when the relay ended a connection between two messages, see lostBetween
}

// An ability is the state of one feature.
type ability struct {
	failures int       // failures since the feature last worked
	off      time.Time // the feature is switched off until off; zero: on
	trial    bool      // off, and no message was accepted since
	rested   time.Time // time of the last trial that did not help; zero: none
}

// Has reports whether the feature is to be used if offered.
func (a *Abilities) Has(f Feature) bool {
	if a == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !time.Now().Before(a.features[f].off)
}

// Broken returns the features that are known to be broken.
func (a *Abilities) Broken() (broken []Feature) {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for f, x := range a.features {
		if time.Now().Before(x.off) && !x.trial {
			broken = append(broken, Feature(f))
		}
	}
	return broken
}

// failed records that a feature in use has failed. sure is set if a reply of the relay says so. failed reports whether
// the feature was switched off: the message can be sent again at once without the feature.
func (a *Abilities) failed(f Feature, sure bool) (off bool) {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x, now := &a.features[f], time.Now()
	if now.Before(x.off) { // another connection was faster
		return true
	}
	if x.failures++; sure {
		x.failures = max(x.failures, brokenAfter)
	}
	if !x.rested.IsZero() && now.Sub(x.rested) < trialPause {
		return false
	}
	x.off, x.trial = now.Add(learnedFor), true
	return true
}

// lostBetween records that the relay has ended a connection without a reply between two messages, after the content of
// the second message was sent. Losses within 10 seconds count once: a relay that is restarted ends all connections. The
// second loss within an hour switches CHUNKING off: with DATA no content is sent to a relay that ends the connection,
// and no message is uncertain.
func (a *Abilities) lostBetween() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	switch x, since := &a.features[Chunking], now.Sub(a.between); {
	case since > time.Hour:
		a.between = now
	case since > 10*time.Second && !now.Before(x.off):
		x.off, x.trial = now.Add(learnedFor), false
		a.changes++
	}
}

// failedWithout records that a message failed in the same way while features were switched off: a feature on trial was
// not to blame.
func (a *Abilities) failedWithout() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for f := range a.features {
		if x := &a.features[f]; x.trial {
			*x = ability{rested: time.Now()}
		}
	}
	a.recipients, a.notNull = 0, time.Time{}
}

// worked records an accepted message, sent with the features in use.
func (a *Abilities) worked(inUse [features]bool) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for f, used := range inUse {
		x := &a.features[f]
		switch {
		case used:
			x.failures = 0
		case x.trial && x.failures >= brokenAfter:
			x.trial = false
			a.changes++
		case x.trial: // a failure without a clear reply: may be a coincidence, so the next connection uses the feature
			x.trial, x.off = false, time.Time{}
		}
	}
}

// Recipients returns the largest number of recipients in a transaction, or zero for no limit.
func (a *Abilities) Recipients() int {
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !time.Now().Before(a.until) {
		return 0
	}
	return a.recipients
}

// Changes returns a number that changes when a feature is found broken or a limit is learnt.
func (a *Abilities) Changes() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changes
}

// limitRecipients records that the relay accepts at most n recipients in a transaction, and reports whether the limit
// is lower than before.
func (a *Abilities) limitRecipients(n int) (lower bool) {
	if a == nil || n < 1 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.until) && a.recipients > 0 && a.recipients <= n {
		return false
	}
	a.recipients, a.until = n, now.Add(learnedFor)
	a.changes++
	return true
}

// refusesNull records that the relay refuses an empty chunk. refusesNull returns false if the fact cannot be recorded.
func (a *Abilities) refusesNull() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notNull = time.Now().Add(learnedFor)
	return true
}

// knownToRefuseNull reports whether the relay refuses an empty chunk.
func (a *Abilities) knownToRefuseNull() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.notNull)
}

// refuseNullSender records that the relay refused MAIL with the null sender.
func (a *Abilities) refuseNullSender() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !now.Before(a.notReport) {
		a.changes++
	}
	a.notReport = now.Add(learnedFor)
}

// refusesNullSender reports whether the relay refuses the null sender.
func (a *Abilities) refusesNullSender() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.notReport)
}

// NullSender reports whether the relay accepts the null sender, as far as known.
func (a *Abilities) NullSender() bool { return !a.refusesNullSender() }
