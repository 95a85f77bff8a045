package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Transaction is one message for some recipients. The zero value of any field but To and Content means that there is
// nothing to say about it.
type Transaction struct {
	From     string    // address as it goes between < and >; "" is the null sender
	To       []string  // likewise
	Size     int64     // exact length of Content in octets; zero: not known
	EightBit bool      // Content has octets above 127: BODY=8BITMIME (RFC 6152) where that is offered
	UTF8     bool      // the header has raw UTF-8: SMTPUTF8 (RFC 6531) where that is offered, as for an address with UTF-8
	Ret      string    // FULL or HDRS (RFC 3461), here and below sent where DSN is offered and the value is valid
	EnvID    string    // plain text, at most 100 octets when encoded
	Notify   []string  // for each of To, or nil: NEVER, or some of SUCCESS,FAILURE,DELAY
	ORcpt    []string  // for each of To, or nil: an address, or "type;address"
	Content  io.Reader // lines end with CRLF, the last one too, and there is no CR or LF alone; read at most once

	// SevenBit makes a Content without octets above 127, and says how long it is. It is called where 8BITMIME is not
	// offered and EightBit is set; its error is final, unless it is an ErrSource. Nil: the
	// Content goes as it is.
	SevenBit func() (content io.Reader, size int64, err error)
}

// ErrSource in an error of SevenBit says that the message could not be read now.
var ErrSource = errors.New("cannot read the message")

// Result is what became of one recipient.
type Result struct {
	Reply Reply  // the relay's answer to the end of the data, when Err is nil
	Err   *Error // nil: the relay has accepted the message for this recipient
	TLS   string // version of TLS that the session had, as "TLS 1.3"; "" for none
	DSN   bool   // the relay offers DSN (RFC 3461), so that it does what Ret, EnvID, Notify and ORcpt ask
}

// A transaction is a Transaction being carried out.
type transaction struct {
	*Transaction              // as it is offered
	asked        *Transaction // as it came
	results      []Result
	open         int   // recipients whose outcome is not known
	taken        int   // recipients whose RCPT was accepted
	full         Reply // the relay wants no more recipients, and said so; zero: it has not
	utf8         bool  // SMTPUTF8 is asked for
	refused      bool  // MAIL was
	ready        bool  // the relay waits for the content after DATA
	dot          bool  // the relay waits for content that must not come: all recipients are refused
	sent         bool  // the content has been sent to its end
	told         bool  // the results have been handed over
}

// Transact offers a message to the relay and returns a Result for each recipient, in the order of t.To. When ctx ends,
// the connection is closed at once. It is also closed when Content cannot be read to its end after something of the
// transaction was sent: the relay never sees a message that was cut short. Usable tells whether another transaction can
// follow.
func (c *Conn) Transact(ctx context.Context, t *Transaction) (results []Result) {
	nothing := func() *Transaction { return nil }
	c.Serve(ctx, t, nothing, func(_ *Transaction, r []Result) { results = r })
	return results
}

// newTransaction sorts out what need not be offered to this relay.
func (c *Conn) newTransaction(t *Transaction) *transaction {
	x := &transaction{Transaction: t, asked: t, results: make([]Result, len(t.To)), open: len(t.To)}
	if err := checkAddress(x.From); err != nil {
		x.fail(&Error{Op: OpMail, Err: err})
	}
	_, canUTF8 := c.Extension("SMTPUTF8")
	if _, ok := c.onWire(x.From); !ok {
		x.fail(noUTF8(x.From))
	}
	version := ""
	if c.version != 0 {
		version = tls.VersionName(c.version)
	}
	_, dsn := c.Extension("DSN")
	for i := range x.results {
		x.results[i].TLS, x.results[i].DSN = version, dsn
	}
	x.utf8 = canUTF8 && (x.UTF8 || !isASCII(x.From))
	for i, addr := range x.To {
		if err := checkAddress(addr); err != nil || addr == "" {
			if err == nil {
				err = fmt.Errorf("%w: it is empty", ErrAddress)
			}
			x.failOne(i, &Error{Op: OpRcpt, Err: err})
		} else if _, ok := c.onWire(addr); !ok {
			x.failOne(i, noUTF8(addr))
		} else if canUTF8 && !isASCII(addr) {
			x.utf8 = true
		}
	}
	if _, ok := c.Extension("8BITMIME"); !ok && x.EightBit && x.SevenBit != nil && x.open > 0 {
		x.toSevenBit()
	}
	if limit := c.maxSize(); limit > 0 && x.Size > limit {
		x.fail(&Error{Op: OpSize, Err: fmt.Errorf("the message has %d octets, the relay takes %d", x.Size, limit)})
	}
	return x
}

// toSevenBit exchanges the content for one that every relay can take.
func (x *transaction) toSevenBit() {
	content, size, err := x.SevenBit()
	if err != nil {
		x.fail(&Error{Op: OpEightBit, Err: err, Source: errors.Is(err, ErrSource)})
		return
	}
	t := *x.Transaction
	t.Content, t.Size, t.EightBit = content, size, false
	x.Transaction = &t
}

// fail gives err to all recipients that have no outcome yet.
func (x *transaction) fail(err *Error) {
	for i := range x.results {
		x.failOne(i, err)
	}
}

// failOne gives err to a recipient, if it has no outcome yet.
func (x *transaction) failOne(i int, err *Error) {
	if x.waits(i) {
		x.results[i].Err = err
		x.open--
	}
}

// accept notes that the relay has the message for a recipient.
func (x *transaction) accept(i int, reply Reply) {
	if x.waits(i) {
		x.results[i].Reply = reply
		x.open--
	}
}

// waits tells whether a recipient has no outcome yet.
func (x *transaction) waits(i int) bool {
	return x.results[i].Err == nil && x.results[i].Reply.Code == 0
}

// turnedDown notes that recipient i was not taken. Once the relay has taken some and says that these are enough, neither
// this one nor those after it have had their turn.
func (x *transaction) turnedDown(i int, err *Error) {
	if !tooMany(err.Reply) {
		x.failOne(i, err)
		return
	}
	reply := err.Reply
	if reply.Code == 552 { // as it was before RFC 5321, which wants it taken for a 452 (section 4.5.3.1.10)
		reply.Code, reply.Enhanced = 452, strings.Replace(reply.Enhanced, "5.", "4.", 1)
	}
	if x.taken > 0 {
		x.full = reply
	}
	x.failOne(i, &Error{Op: OpRcpt, Reply: reply, NotTried: x.taken > 0})
}

// tooMany tells whether a reply to RCPT is about the number of recipients. An enhanced code can say that it is not, but
// about this recipient's mailbox, for one.
func tooMany(r Reply) bool {
	switch r.Enhanced {
	case "4.5.3", "5.5.3":
		return r.Code/100 == 4 || r.Code == 552
	case "":
		return r.Code == 452 || r.Code == 552
	}
	return false
}

func noUTF8(addr string) *Error {
	return &Error{Op: OpUTF8, Err: fmt.Errorf("%q needs SMTPUTF8, which the relay does not offer", addr)}
}

// onWire is an address as this relay takes it. Where SMTPUTF8 is not offered, a domain can go as A-labels (RFC 5890);
// not ok: the local part needs SMTPUTF8 too.
func (c *Conn) onWire(addr string) (wire string, ok bool) {
	if isASCII(addr) {
		return addr, true
	}
	if _, ok := c.Extension("SMTPUTF8"); ok {
		return addr, true
	}
	return withALabels(addr)
}

// maxSize is the largest message the relay says it takes (RFC 1870); zero: it does not say.
func (c *Conn) maxSize() int64 {
	param, _ := c.Extension("SIZE")
	limit, err := strconv.ParseInt(param, 10, 64)
	if err != nil {
		return 0
	}
	return limit
}

// putMail adds MAIL to the flight.
func (c *Conn) putMail(x *transaction) {
	from, _ := c.onWire(x.From)
	c.out.put("MAIL FROM:<", from, ">")
	if _, ok := c.Extension("SIZE"); ok && x.Size > 0 {
		c.out.put(" SIZE=")
		c.out.set(strconv.AppendInt(c.out.room(), x.Size, 10))
	}
	if _, ok := c.Extension("8BITMIME"); ok && x.EightBit {
		c.out.put(" BODY=8BITMIME")
	}
	if x.utf8 {
		c.out.put(" SMTPUTF8")
	}
	if _, ok := c.Extension("DSN"); ok {
		if ret := strings.ToUpper(x.Ret); ret == "FULL" || ret == "HDRS" {
			c.out.put(" RET=", ret)
		}
		if id := xtext(x.EnvID); id != "" && len(id) <= maxEnvID {
			c.out.put(" ENVID=", id)
		}
	}
	c.out.put("\r\n")
}

// putRcpt adds RCPT for recipient i to the flight.
func (c *Conn) putRcpt(x *transaction, i int) {
	to, _ := c.onWire(x.To[i])
	c.out.put("RCPT TO:<", to, ">")
	if _, ok := c.Extension("DSN"); ok {
		if i < len(x.Notify) {
			if notify := notifyValue(x.Notify[i]); notify != "" {
				c.out.put(" NOTIFY=", notify)
			}
		}
		if i < len(x.ORcpt) {
			if orcpt := originalRecipient(x.ORcpt[i]); orcpt != "" {
				c.out.put(" ORCPT=", orcpt)
			}
		}
	}
	c.out.put("\r\n")
}
