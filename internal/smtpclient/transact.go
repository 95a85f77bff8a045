package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
}

// Result is what became of one recipient.
type Result struct {
	Reply Reply  // the relay's answer to the end of the data, when Err is nil
	Err   *Error // nil: the relay has accepted the message for this recipient
}

// A transaction is a Transaction being carried out.
type transaction struct {
	*Transaction
	c       *Conn
	results []Result
	utf8    bool // SMTPUTF8 is asked for
}

// Transact offers a message to the relay and returns a Result for each recipient, in the order of t.To. When ctx ends,
// the connection is closed at once. It is also closed when Content cannot be read to its end: the relay never sees a
// message that was cut short. Usable tells whether another transaction can follow.
func (c *Conn) Transact(ctx context.Context, t *Transaction) []Result {
	x := &transaction{Transaction: t, c: c, results: make([]Result, len(t.To))}
	switch {
	case c.broken:
		x.fail(&Error{Op: OpMail, Err: errors.New("the connection is closed")})
	case ctx.Err() != nil:
		x.fail(&Error{Op: OpMail, Err: context.Cause(ctx)})
	}
	x.check()
	if !x.pending() {
		return x.results
	}
	defer c.watch(ctx)()
	if err := x.envelope(); err != nil {
		x.fail(err)
	} else if x.pending() {
		x.message()
	}
	return x.results
}

// fail gives err to all recipients that have no error yet.
func (x *transaction) fail(err *Error) {
	for i := range x.results {
		if x.results[i].Err == nil {
			x.results[i].Err = err
		}
	}
}

// pending tells whether there is a recipient without an error.
func (x *transaction) pending() bool {
	return slices.ContainsFunc(x.results, func(r Result) bool { return r.Err == nil })
}

// check sorts out what need not be offered to this relay.
func (x *transaction) check() {
	if err := checkAddress(x.From); err != nil {
		x.fail(&Error{Op: OpMail, Err: err})
	}
	_, canUTF8 := x.c.Extension("SMTPUTF8")
	if !canUTF8 && !isASCII(x.From) {
		x.fail(noUTF8(x.From))
	}
	x.utf8 = canUTF8 && (x.UTF8 || !isASCII(x.From))
	for i, addr := range x.To {
		err := checkAddress(addr)
		switch {
		case x.results[i].Err != nil:
		case addr == "":
			x.results[i].Err = &Error{Op: OpRcpt, Err: fmt.Errorf("%w: it is empty", ErrAddress)}
		case err != nil:
			x.results[i].Err = &Error{Op: OpRcpt, Err: err}
		case isASCII(addr):
		case canUTF8:
			x.utf8 = true
		default:
			x.results[i].Err = noUTF8(addr)
		}
	}
	if limit := x.c.maxSize(); limit > 0 && x.Size > limit {
		x.fail(&Error{Op: OpSize, Err: fmt.Errorf("the message has %d octets, the relay takes %d", x.Size, limit)})
	}
}

func noUTF8(addr string) *Error {
	return &Error{Op: OpUTF8, Err: fmt.Errorf("%q needs SMTPUTF8, which the relay does not offer", addr)}
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

// envelope sends MAIL and RCPT. An error is one for all recipients that have none yet.
func (x *transaction) envelope() *Error {
	// Some relays want RSET even after a transaction that came to nothing, others only then: it never does any harm.
	if x.c.used {
		if err := x.c.reset(); err != nil {
			return err
		}
	}
	x.c.used = true
	if _, err := x.c.ask(OpMail, []int{250}, "MAIL FROM:<", x.From, ">", x.mailParams()); err != nil {
		return err
	}
	taken := 0
	for i, addr := range x.To {
		if x.results[i].Err != nil {
			continue
		}
		_, err := x.c.ask(OpRcpt, []int{250, 251, 252}, "RCPT TO:<", addr, ">", x.rcptParams(i))
		switch {
		case err == nil:
			taken++
		case x.c.broken:
			return err
		default:
			x.refused(i, err, taken)
		}
	}
	return nil
}

// reset forgets the transaction before. A relay that refuses even that is of no use, but the message is not to blame:
// so the error has no reply, unless that is the 421 it may give at any time.
func (c *Conn) reset() *Error {
	_, err := c.ask(OpMail, []int{250}, "RSET")
	if err != nil && !c.broken {
		c.abandon()
		return &Error{Op: OpMail, Err: fmt.Errorf("RSET refused: %s", err.Reply)}
	}
	return err
}

// refused notes that recipient i was not taken. Once the relay has taken some and says that these are enough, neither
// this one nor those after it have had their turn.
func (x *transaction) refused(i int, err *Error, taken int) {
	if !tooMany(err.Reply) {
		x.results[i].Err = err
		return
	}
	reply := err.Reply
	if reply.Code == 552 { // as it was before RFC 5321, which wants it taken for a 452 (section 4.5.3.1.10)
		reply.Code, reply.Enhanced = 452, strings.Replace(reply.Enhanced, "5.", "4.", 1)
	}
	if taken == 0 {
		x.results[i].Err = &Error{Op: OpRcpt, Reply: reply}
		return
	}
	for j := i; j < len(x.results); j++ {
		if x.results[j].Err == nil {
			x.results[j].Err = &Error{Op: OpRcpt, Reply: reply, NotTried: true}
		}
	}
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

// message sends DATA and the content, and settles all recipients that are still pending.
func (x *transaction) message() {
	if _, err := x.c.ask(OpData, []int{354}, "DATA"); err != nil {
		x.fail(err)
		return
	}
	if err := x.content(); err != nil {
		x.fail(err)
		return
	}
	reply, err := x.c.expect(OpEnd, 2)
	if err != nil {
		err.Uncertain = err.Reply.Code == 0
		x.fail(err)
		return
	}
	for i := range x.results {
		if x.results[i].Err == nil {
			x.results[i].Reply = reply
		}
	}
}

// content sends the content to its end. After an error the connection is closed, so that the relay cannot take what it
// has got for a message.
func (x *transaction) content() *Error {
	if err := x.c.quiet(OpContent); err != nil {
		return err
	}
	x.c.limit = x.c.limitFor(OpContent)
	err := sendContent(x.c.writer(), x.Content, x.Size)
	var source sourceError
	if errors.As(err, &source) {
		x.c.abandon()
		return &Error{Op: OpContent, Err: source.error, Source: true}
	}
	if err == nil {
		err = x.c.flush()
	}
	if err == nil {
		return nil
	}
	if reply := x.c.lastWords(); reply.Code >= 400 { // it has seen enough
		return &Error{Op: OpEnd, Reply: reply}
	}
	return x.c.lost(OpContent, err)
}

// mailParams are the parameters of MAIL, each after a space.
func (x *transaction) mailParams() string {
	var b strings.Builder
	if _, ok := x.c.Extension("SIZE"); ok && x.Size > 0 {
		b.WriteString(" SIZE=" + strconv.FormatInt(x.Size, 10))
	}
	if _, ok := x.c.Extension("8BITMIME"); ok && x.EightBit {
		b.WriteString(" BODY=8BITMIME")
	}
	if x.utf8 {
		b.WriteString(" SMTPUTF8")
	}
	if _, ok := x.c.Extension("DSN"); ok {
		if ret := strings.ToUpper(x.Ret); ret == "FULL" || ret == "HDRS" {
			b.WriteString(" RET=" + ret)
		}
		if id := xtext(x.EnvID); id != "" && len(id) <= maxEnvID {
			b.WriteString(" ENVID=" + id)
		}
	}
	return b.String()
}

// rcptParams are the parameters of RCPT for recipient i, each after a space.
func (x *transaction) rcptParams(i int) string {
	params := ""
	if _, ok := x.c.Extension("DSN"); !ok {
		return ""
	}
	if i < len(x.Notify) {
		if notify := notifyValue(x.Notify[i]); notify != "" {
			params += " NOTIFY=" + notify
		}
	}
	if i < len(x.ORcpt) {
		if orcpt := originalRecipient(x.ORcpt[i]); orcpt != "" {
			params += " ORCPT=" + orcpt
		}
	}
	return params
}
