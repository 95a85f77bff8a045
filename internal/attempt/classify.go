package attempt

import "strings"

// Failure holds the facts about a failed step of an SMTP session.
type Failure struct {
	Op         Op
	Code       int  // code of the reply; zero: no valid reply
	Unsendable bool // no SMTP command can carry the address
	Unreadable bool // the content of the message could not be read
	NotTried   bool // the recipient was not offered, or the relay never received the transaction
	Uncertain  bool // the content was sent completely and no valid reply came
}

// Classify returns the party at fault, and whether a retry is pointless.
//
// A connection lost before the reply to MAIL is the fault of the relay. A connection lost later, or after the content
// was sent, is the fault of the message: otherwise a message that crashes the relay would stop the mail of all other
// senders.
func (f Failure) Classify() (fault Fault, permanent bool) {
	switch f.Op {
	case OpDial, OpGreeting, OpEHLO, OpTLS, OpAuth:
		return Relay, false
	case OpSize, OpUTF8, OpEightBit:
		return Message, !f.Unreadable
	}
	permanent = f.Code/100 == 5 || f.Unsendable
	switch {
	case f.NotTried:
		return None, false
	case f.Code == 421, loginRequired(f.Code):
		return Relay, false
	case f.Op == OpMail && f.lostEarly():
		return Relay, false
	case f.Op == OpRcpt && (f.Code != 0 || f.Unsendable):
		return Recipient, permanent
	}
	return Message, permanent
}

// lostEarly reports whether the connection was lost before the content was sent.
func (f Failure) lostEarly() bool {
	return f.Code == 0 && !f.Unsendable && !f.Unreadable && !f.Uncertain
}

// loginRequired reports whether the code asks for a login, another login, or TLS (RFC 4954, section 6; RFC 3207,
// section 4). The cause is the configuration, for every command, so mail is never given up for such a code.
func loginRequired(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}

// Throttled reports whether the reply asks the client to slow down: 421, 450, 451 or 452 with 4.7.x (policy) or 4.3.2
// (system does not accept mail now; RFC 3463). The text of the reply is ignored.
func (r Reply) Throttled() bool {
	switch r.Code {
	case 421, 450, 451, 452:
		return r.Enhanced == "4.3.2" || strings.HasPrefix(r.Enhanced, "4.7.")
	}
	return false
}

// NoPTR reports whether a reply refuses an IPv6 address without a PTR record, as Gmail does: another address family may
// be accepted.
func NoPTR(r Reply) bool {
	if r.Code/100 != 5 {
		return false
	}
	text := strings.ToLower(r.Text)
	for _, words := range []string{"ptr record", "reverse dns", "rdns", "ipv6 sending guidelines", "reverse lookup"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}
