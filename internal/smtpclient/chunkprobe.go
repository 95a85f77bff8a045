package smtpclient

import "github.com/unbit/spoolgore/internal/attempt"

// proveChunking makes sure that the relay has accepted a BDAT on the connection. A proxy can offer CHUNKING and garble
// BDAT: the relay then reads the content as commands. So a probe comes before the first content. proveChunking returns
// false if the content is not to be sent with BDAT: the message was sent with DATA, or has failed.
//
// The probe is "BDAT 0" in the transaction of x: the envelope is then sent, and x.probed set. Postfix refuses an empty
// chunk ("551 5.7.1 Null BDAT request"). Such a relay gets one octet, which is no content, in a transaction that RSET
// ends. The octet has no line end, so no relay can read the octet as a command.
func (s *serving) proveChunking(x *transaction) bool {
	octet := s.c.cfg.Abilities.knownToRefuseNull()
	switch {
	case s.c.chunked:
		x.chunked = true
		return true
	case octet && !s.follows():
		s.withData(x) // as many round trips as with a probe, and one transaction less
		return false
	}
	s.probe(x, octet)
	switch {
	case s.c.wire.closed || x.undecided == 0:
		return false
	case s.c.chunked && !octet:
		x.probed = true
		return true
	}
	x.rcptAccepted, x.full = 0, attempt.Reply{}
	if x.chunked = s.c.chunked; !x.chunked {
		s.withData(x)
	}
	return x.chunked
}

// probe sends an envelope with a probe of BDAT, and reads all replies. The probe with an octet has one recipient.
func (s *serving) probe(x *transaction, octet bool) {
	x.chunked, x.octetProbe = true, octet
	s.envelope(x)
	if x.undecided > 0 && s.pipe.ready(attempt.OpData) {
		if octet {
			s.c.wire.out.putBDAT(1, "\r\n ")
		} else {
			s.c.wire.out.putBDAT(0, "\r\n")
		}
		s.pipe.sent(step{x: x, kind: probeStep})
	}
	s.pipe.drain()
	x.octetProbe, s.c.strayOctet = false, octet && !s.c.chunked
}

// follows reports whether another transaction waits, and keeps the transaction for next.
func (s *serving) follows() bool {
	if s.ahead == nil {
		s.ahead = s.more()
	}
	return s.ahead != nil
}
