package attempt

import (
	"slices"
	"strings"
)

// Failure holds the facts about a failed step of an SMTP session.
type Failure struct {
	Op         Op
	Reply      Reply // refusal of the relay; zero: no valid reply
	Unsendable bool  // no SMTP command can carry the address
	Unreadable bool  // the content of the message could not be read
	NotTried   bool  // the recipient was not offered, or the relay never received the transaction
	Uncertain  bool  // the content was sent completely and no valid reply came
	LoggedIn   bool  // credentials are configured
	Proven     bool  // the relay has accepted a message on the connection
	NullSender bool  // the reverse-path is empty
	NoQuotas   bool  // a 5yz reply about a quota or the account is final
}

// Cause is the known reason why a relay cannot be used although a session was set up. The advice depends on the cause.
type Cause string

// The causes.
const (
	CauseLogin Cause = "login"   // the relay requires a login, or another one
	CauseHELO  Cause = "helo"    // the relay refuses the name in EHLO
	CauseQuota Cause = "quota"   // a quota of the account is used up, or the account is blocked
	CauseDisk  Cause = "storage" // the relay has no storage, or another trouble of its own
)

// Class is the classification of a failure.
type Class struct {
	Fault     Fault
	Permanent bool  // a retry is pointless
	Undecided bool  // throttling or policy: the relay may be at fault, or the message
	Throttled bool  // Undecided, and the reply asks for less mail
	Final     bool  // a refusal that is permanent if the relay turns out not to be at fault
	Cause     Cause // reason for Relay; empty: none known
}

// Classify returns the party at fault, and what the failure means for a retry. docs/delivery.md has the table.
//
// A connection lost before the reply to MAIL is the fault of the relay. A connection lost later, or after the content
// was sent, is the fault of the message: otherwise a message that crashes the relay would stop the mail of all other
// senders.
func (f Failure) Classify() Class {
	switch f.Op {
	case OpDial, OpGreeting, OpEHLO, OpTLS, OpAuth:
		return Class{Fault: Relay}
	case OpSize, OpUTF8, OpEightBit:
		return Class{Fault: Message, Permanent: !f.Unreadable}
	}
	switch {
	case f.NotTried:
		return Class{Fault: None}
	case f.Op == OpMail && f.lostEarly():
		return Class{Fault: Relay}
	case f.Reply.Code == 0 && f.Op == OpRcpt && f.Unsendable:
		return Class{Fault: Recipient, Permanent: true}
	case f.Reply.Code == 0:
		return Class{Fault: Message, Permanent: f.Unsendable}
	}
	if cause := f.relayTrouble(); cause != "" {
		final := f.Reply.Code/100 == 5 && !loginRequired(f.Reply.Code) && cause != CauseQuota
		return Class{Fault: Relay, Cause: cause, Final: final}
	}
	return f.refusal()
}

// refusal classifies a reply that does not say that the relay is at fault.
func (f Failure) refusal() Class {
	c, r := Class{Fault: Message, Permanent: f.Reply.Code/100 == 5}, f.Reply
	if f.Op == OpRcpt {
		c.Fault = Recipient
	}
	switch {
	case r.Code == 421 && f.Op == OpMail:
		return Class{Fault: Relay}
	case r.Undecided():
		c.Undecided, c.Throttled = true, r.Throttled()
	case f.Op != OpEnd && slices.Contains([]int{500, 502, 503}, r.Code), // about the conversation
		f.Op == OpEnd && slices.Contains([]int{502, 503, 504}, r.Code),
		f.Op != OpEnd && f.Op != OpRcpt && r.Code == 504:
		c.Permanent = false
	}
	return c
}

// relayTrouble returns the cause if a reply to a transaction is about the relay, the account or this host, and not
// about the message; otherwise "".
func (f Failure) relayTrouble() Cause {
	r := f.Reply
	switch {
	case namesHELO.MatchString(r.Text) && f.Op != OpEnd && !authWords.MatchString(r.Text):
		return CauseHELO
	case loginRequired(r.Code), f.wantsLogin():
		return CauseLogin
	case !f.NoQuotas && r.quota():
		return CauseQuota
	case r.Code == 452 && r.Enhanced == "4.3.1", r.Code/100 == 4 && (r.Enhanced == "4.3.0" || r.Enhanced == "4.3.5"):
		return CauseDisk
	}
	return ""
}

// lostEarly reports whether the connection was lost before the content was sent.
func (f Failure) lostEarly() bool {
	return f.Reply.Code == 0 && !f.Unsendable && !f.Unreadable && !f.Uncertain
}

// loginRequired reports whether the code asks for a login, another login, or TLS (RFC 4954, section 6; RFC 3207,
// section 4). The cause is the configuration, for every command, so mail is never given up for such a code.
func loginRequired(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

var (
	namesHELO = pattern(`\b(helo|ehlo)\b`)
	authWords = pattern(`auth(enticat|oriz|\b)|log ?(ged )?in\b|sign in|credential`)
	// aboutSender matches replies to MAIL that are about the sender, and final.
	aboutSender = pattern(`sender address|domain|spf|dkim|dmarc|spam|syntax|not owned|too large|size|` +
		`bad address|invalid (address|sender)|no such|unknown|blacklist|blocklist|blocked`)
)

// wantsLogin reports whether the relay requires a login that is not configured. Some relays report that with another
// code than 530: to MAIL before any acceptance on the connection, and to RCPT with words about authentication.
func (f Failure) wantsLogin() bool {
	r := f.Reply
	words := authWords.MatchString(r.Text)
	switch {
	case f.LoggedIn || strings.HasPrefix(r.Enhanced, "5.1.") || strings.HasPrefix(r.Enhanced, "5.2."):
		return false
	case f.Op == OpMail && !f.Proven && !f.NullSender && slices.Contains([]int{502, 503, 550, 553, 554}, r.Code):
		return words || r.Code < 550 || !aboutSender.MatchString(r.Text)
	case f.Op == OpMail:
		return words && r.Code/100 == 5
	case f.Op == OpRcpt && slices.Contains([]int{502, 503, 550, 551, 553, 554}, r.Code):
		policy := slices.Contains([]string{"5.7.0", "5.7.1", "5.7.57", "5.5.1", ""}, r.Enhanced)
		return r.Enhanced == "5.7.57" || policy && words
	}
	return false
}

// Undecided reports whether a reply may be about the amount of mail, or about policy: another attempt decides.
func (r Reply) Undecided() bool {
	switch r.Code {
	case 432, 454:
		return true
	case 421, 450, 451, 452:
		return r.Enhanced == "" || r.Enhanced == "4.3.2" || strings.HasPrefix(r.Enhanced, "4.7.") ||
			strings.HasPrefix(r.Enhanced, "4.16.") // Yahoo: no subject of RFC 3463
	}
	return false
}

var throttleWords = pattern(`throttl|too fast|rate[ -]?limit|\brate\b|too many|slow down|concurren|` +
	`thread limit|frequen|quota|volume|limit exceeded|exceeded`)

// Throttled reports whether the reply asks for less mail: 432, 454, 4.3.2 (RFC 3463: system does not accept mail now),
// or words about a rate. Other undecided replies can be greylisting, which does not depend on the amount of mail.
func (r Reply) Throttled() bool {
	return r.Undecided() && !strings.Contains(strings.ToLower(r.Text), "denied") &&
		(r.Code == 432 || r.Code == 454 || r.Enhanced == "4.3.2" || throttleWords.MatchString(r.Text))
}

// NoPTR reports whether a reply refuses an IPv6 address without a PTR record, as Gmail does: another address family may
// be accepted.
func NoPTR(r Reply) bool {
	return r.Code/100 == 5 && noPTR.MatchString(r.Text)
}

var noPTR = pattern(
	`\bptr record|reverse dns|\brdns\b|ipv6 sending guidelines|reverse lookup|reverse hostname`)
