package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/message"
)

// Transaction is one message for some recipients. Only To and Content are required.
type Transaction struct {
	From     string    // address without < and >; empty: the null sender
	To       []string  // addresses without < and >
	Size     int64     // exact length of Content in octets; zero: unknown
	EightBit bool      // Content has octets above 127: BODY=8BITMIME (RFC 6152) if offered
	UTF8     bool      // the header has raw UTF-8: SMTPUTF8 (RFC 6531) if offered; implied by a UTF-8 address
	Ret      string    // FULL or HDRS (RFC 3461); Ret to ORcpt are sent if DSN is offered and the value is valid
	EnvID    string    // plain text, at most 100 octets after encoding
	Notify   []string  // per recipient, or nil: NEVER, or some of SUCCESS,FAILURE,DELAY
	ORcpt    []string  // per recipient, or nil: an address, or "type;address"
	Content  io.Reader // lines end with CRLF, also the last line; no CR or LF alone; read at most once

	// SevenBit returns a Content without octets above 127, and the length. SevenBit is called if EightBit is set and
	// 8BITMIME is not offered. An error is permanent, except an ErrSource. Nil: Content is sent unchanged.
	SevenBit func() (content io.Reader, size int64, err error)
}

// ErrSource marks an error of SevenBit as temporary: the message could not be read now.
var ErrSource = errors.New("cannot read the message")

// A transaction is the state of a Transaction in progress: replies of the relay, and results so far.
type transaction struct {
	*Transaction                 // as offered to the relay
	original       *Transaction  // as passed by the caller
	ext            extensions    // whose parameters are used
	results        []Result      // per recipient
	undecided      int           // recipients without a result
	rcptAccepted   int           // recipients with an accepted RCPT
	full           attempt.Reply // reply to RCPT after which the relay accepts no more recipients; zero: none
	utf8           bool          // MAIL asks for SMTPUTF8
	mailRefused    bool          // the relay refused MAIL
	contentWanted  bool          // the relay accepted DATA and waits for the content
	emptyContent   bool          // the relay accepted DATA after all recipients were refused: a lone dot follows
	contentSent    bool          // the content was sent to the end
	resultsHandled bool          // the caller has the results
	offered        int           // RCPT commands sent
	proven         bool          // the relay had accepted a message on the connection before
	chunked        bool          // the content is sent with BDAT
	probeRefusal   int           // code of the 5yz reply to a probe of BDAT; zero: none
	octetProbe     bool          // the relay gets an envelope for a probe with one octet
	probed         bool          // the envelope was sent with "BDAT 0", and both were accepted
}

// Transact sends a message and returns a Result for each recipient, in the order of t.To. When ctx ends, the connection
// is closed at once. The connection is also closed if Content cannot be read to the end after a part was sent: the
// relay never accepts a truncated message. Usable reports whether another transaction can follow.
func (c *Conn) Transact(ctx context.Context, t *Transaction) (results []Result) {
	noMore := func() *Transaction { return nil }
	c.Serve(ctx, t, noMore, func(_ *Transaction, r []Result) { results = r })
	return results
}

// newTransaction checks t before anything is sent, and fails the recipients that the relay cannot serve.
func (c *Conn) newTransaction(t *Transaction) *transaction {
	x := &transaction{
		Transaction: t, original: t, ext: c.ext, results: make([]Result, len(t.To)), undecided: len(t.To),
	}
	if c.cfg.Abilities.refusesNullSender() && c.cfg.replacesNullSender(t) {
		changed := *t
		changed.From = c.cfg.ReportFrom
		x.Transaction = &changed
	}
	if c.last.has("SMTPUTF8") && x.needsUTF8() {
		x.ext = slices.Concat(c.ext, c.last)
	}
	x.checkAddresses(x.ext)
	if x.EightBit && x.SevenBit != nil && x.undecided > 0 && !x.ext.has("8BITMIME") {
		x.toSevenBit(c)
	}
	if limit := c.ext.maxSize(); limit > 0 && x.Size > limit {
		err := fmt.Errorf("the message has %d octets, the relay takes %d", x.Size, limit)
		x.fail(&Error{Op: attempt.OpSize, Err: err})
	}
	version := ""
	if c.version != 0 {
		version = tls.VersionName(c.version)
	}
	dsn := x.ext.has("DSN")
	for i := range x.results {
		x.results[i].TLS, x.results[i].DSN = version, dsn
	}
	return x
}

// replacesNullSender reports whether t can be sent from Config.ReportFrom: not to this host, where a report about the
// report could begin again.
func (cfg *Config) replacesNullSender(t *Transaction) bool {
	return t.From == "" && cfg.ReportFrom != "" && !slices.ContainsFunc(t.To, func(to string) bool {
		_, domain, _ := strings.Cut(to, "@")
		return domain == "" || strings.EqualFold(domain, cfg.LocalName)
	})
}

// checkAddresses fails the recipients whose address, or whose sender address, cannot be sent to the relay, and decides
// on SMTPUTF8.
func (x *transaction) checkAddresses(ext extensions) {
	if err := checkAddress(x.From); err != nil {
		x.fail(&Error{Op: attempt.OpMail, Err: err})
	}
	if _, ok := ext.encodeAddress(x.From); !ok {
		x.fail(needsUTF8(x.From))
	}
	offered := ext.has("SMTPUTF8")
	x.utf8 = offered && (x.UTF8 || !isASCII(x.From))
	for i, addr := range x.To {
		if err := checkRecipient(addr); err != nil {
			x.failOne(i, &Error{Op: attempt.OpRcpt, Err: err})
		} else if _, ok := ext.encodeAddress(addr); !ok {
			x.failOne(i, needsUTF8(addr))
		} else if offered && !isASCII(addr) {
			x.utf8 = true
		}
	}
}

// needsUTF8 reports whether an address cannot be sent without SMTPUTF8.
func (x *transaction) needsUTF8() bool {
	needs := func(addr string) bool {
		_, ok := extensions(nil).encodeAddress(addr)
		return !ok
	}
	return needs(x.From) || slices.ContainsFunc(x.To, needs)
}

// toSevenBit replaces the content by content for a relay without 8BITMIME. If that cannot be, 8BITMIME is used where
// the relay has offered 8BITMIME.
func (x *transaction) toSevenBit(c *Conn) {
	content, size, err := x.SevenBit()
	if err != nil && !errors.Is(err, ErrSource) && c.last.has("8BITMIME") {
		x.ext = slices.Concat(c.ext, c.last)
		return
	}
	if err != nil {
		x.fail(&Error{Op: attempt.OpEightBit, Err: err, Source: errors.Is(err, ErrSource)})
		return
	}
	t := *x.Transaction
	t.Content, t.Size, t.EightBit = content, size, false
	x.Transaction = &t
}

// fail sets err as the result of all undecided recipients.
func (x *transaction) fail(err *Error) {
	for i := range x.results {
		x.failOne(i, err)
	}
}

// hasRefusal reports whether the relay refused a recipient.
func (x *transaction) hasRefusal() bool {
	return slices.ContainsFunc(x.results, func(r Result) bool {
		return r.Err != nil && r.Err.Reply.Code != 0 && !r.Err.NotTried
	})
}

// reopen makes the recipients above the limit of a transaction undecided again, if the relay has replied for no
// recipient: the transaction has one outcome for all recipients.
func (x *transaction) reopen() {
	if x.contentSent || x.rcptAccepted > 0 || x.hasRefusal() {
		return
	}
	for i := range x.results {
		if e := x.results[i].Err; e != nil && e.Err == errRecipientLimit {
			x.results[i].Err = nil
			x.undecided++
		}
	}
}

// failOne sets err as the result of recipient i, if undecided.
func (x *transaction) failOne(i int, err *Error) {
	if x.isUndecided(i) {
		x.results[i].Err = err
		x.undecided--
	}
}

// accept records that the relay accepted the message for recipient i.
func (x *transaction) accept(i int, reply attempt.Reply) {
	if x.isUndecided(i) {
		x.results[i].Reply = reply
		x.undecided--
	}
}

// isUndecided reports whether recipient i has no result.
func (x *transaction) isUndecided(i int) bool {
	return x.results[i].Err == nil && x.results[i].Reply.Code == 0
}

// refuse records that the relay refused recipient i. If the relay accepted some recipients and then no more, recipient
// i and the recipients after i count as not tried. refuse reports whether the relay named the number of recipients.
func (x *transaction) refuse(i int, err *Error) (full bool) {
	if !tooManyRecipients(err.Reply) {
		x.failOne(i, err)
		return false
	}
	full = x.rcptAccepted > 0 && (err.Reply.Enhanced != "" || saysTooMany(err.Reply))
	reply := err.Reply
	if reply.Code/100 == 5 { // code before RFC 5321; clients treat 552 as 452 (section 4.5.3.1.10)
		reply.Code, reply.Enhanced = 452, strings.Replace(reply.Enhanced, "5.", "4.", 1)
	}
	if x.rcptAccepted > 0 {
		x.full = reply
	}
	x.failOne(i, &Error{Op: attempt.OpRcpt, Reply: reply, NotTried: x.rcptAccepted > 0})
	return full
}

// tooManyRecipients reports whether a reply to RCPT is about the number of recipients. An enhanced code can name
// another reason, such as a full mailbox.
func tooManyRecipients(r attempt.Reply) bool {
	switch {
	case saysTooMany(r):
		return true
	case r.Enhanced == "4.5.3", r.Enhanced == "5.5.3":
		return r.Code/100 == 4 || r.Code == 552
	case r.Enhanced == "":
		return r.Code == 452 || r.Code == 552
	}
	return false
}

func needsUTF8(addr string) *Error {
	return &Error{Op: attempt.OpUTF8, Err: fmt.Errorf("%q needs SMTPUTF8, which the relay does not offer", addr)}
}

// putMail appends the MAIL command.
func (x *transaction) putMail(out *flight, ext extensions) {
	from, _ := ext.encodeAddress(x.From)
	out.put("MAIL FROM:<", from, ">")
	if x.Size > 0 && ext.has("SIZE") {
		out.put(" SIZE=")
		out.putInt(x.Size)
	}
	if x.EightBit && ext.has("8BITMIME") {
		out.put(" BODY=8BITMIME")
	}
	if x.utf8 {
		out.put(" SMTPUTF8")
	}
	if ext.has("DSN") {
		if ret := strings.ToUpper(x.Ret); ret == "FULL" || ret == "HDRS" {
			out.put(" RET=", ret)
		}
		if id := xtext(x.EnvID); id != "" && len(id) <= maxEnvID {
			out.put(" ENVID=", id)
		}
	}
	out.put("\r\n")
}

// putRcpt appends the RCPT command for recipient i.
func (x *transaction) putRcpt(out *flight, ext extensions, i int) {
	to, _ := ext.encodeAddress(x.To[i])
	out.put("RCPT TO:<", to, ">")
	if ext.has("DSN") {
		if i < len(x.Notify) {
			if notify := message.Notify(x.Notify[i]); notify != "" {
				out.put(" NOTIFY=", notify)
			}
		}
		if i < len(x.ORcpt) {
			if orcpt := originalRecipient(x.ORcpt[i]); orcpt != "" {
				out.put(" ORCPT=", orcpt)
			}
		}
	}
	out.put("\r\n")
}
