package smtpclient

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/unbit/spoolgore/internal/attempt"
)

// A step is a command, or the content after a command, without a reply so far.
type step struct {
	x    *transaction
	end  int32 // offset of the end of the step in the flight
	rcpt int32 // index of the recipient, for rcptStep
	kind stepKind
	sent bool // sent to the end
}

// incomplete is the end of a step whose content is not completely in the flight.
const incomplete = math.MaxInt32

type stepKind uint8

const (
	noopStep  stepKind = iota // NOOP, which ends a line that a probe may have started
	resetStep                 // RSET
	mailStep                  // MAIL
	rcptStep                  // RCPT
	probeStep                 // BDAT without content, see proveChunking
	dataStep                  // DATA
	chunkStep                 // BDAT with content
	endStep                   // end of the content: BDAT LAST, or the lone dot
)

// op returns the step of an Error.
func (st step) op() attempt.Op {
	switch st.kind {
	case noopStep, resetStep, mailStep:
		return attempt.OpMail
	case rcptStep:
		return attempt.OpRcpt
	case probeStep, dataStep:
		return attempt.OpData
	}
	if st.sent {
		return attempt.OpEnd
	}
	return attempt.OpContent
}

// accepts returns the first digit of a reply that accepts MAIL, DATA or a chunk. The other digits do not count (RFC
// 5321, section 4.2.1).
func (k stepKind) accepts() int {
	if k == dataStep {
		return 3
	}
	return 2
}

// A pipeline sends the steps of transactions and matches the replies to the steps, in order (RFC 2920).
type pipeline struct {
	conn    *Conn
	wire    *wire                        // wire of conn
	enabled bool                         // PIPELINING; false: the pipeline reads each reply before the next step
	lmtp    bool                         // one reply for each recipient after the content
	done    func(*Transaction, []Result) // receives the results of a transaction
	active  []*transaction               // transactions without an outcome, in order
	steps   []step                       // steps without a reply, in order
	fatal   *Error                       // error that ended the session; nil: none
	shared  bool                         // the last flight had several commands
}

// idle reports whether all replies are read.
func (p *pipeline) idle() bool { return len(p.steps) == 0 }

// add appends a transaction to the active transactions.
func (p *pipeline) add(x *transaction) { p.active = append(p.active, x) }

// ready reports whether a command can be sent. Before the first command of a flight, ready checks for replies without a
// command.
func (p *pipeline) ready(op attempt.Op) bool {
	if !p.wire.closed && len(p.steps) == 0 {
		if err := p.wire.checkSilent(op); err != nil {
			p.abort(err)
		}
	}
	return !p.wire.closed
}

// start appends a step whose content follows. The caller calls complete after the content.
func (p *pipeline) start(st step) {
	st.end = incomplete
	p.steps = append(p.steps, st)
}

// complete marks the content of the last step as complete.
func (p *pipeline) complete() {
	last := len(p.steps) - 1
	st := p.steps[last]
	p.steps = p.steps[:last]
	p.sent(st)
}

// sent appends a step that ends at the end of the flight. Without PIPELINING, the flight is sent and the reply read at
// once.
func (p *pipeline) sent(st step) {
	st.end = int32(p.wire.out.len())
	p.steps = append(p.steps, st)
	if st.end == 0 { // the last piece was sent before
		p.markSent(0)
	}
	if !p.enabled {
		p.drain()
	}
}

// flush sends the flight and marks the steps that were sent to the end.
func (p *pipeline) flush() {
	if p.wire.closed || p.wire.writeErr != nil || p.wire.out.len() == 0 {
		return
	}
	op := attempt.OpContent
	if last := p.steps[len(p.steps)-1]; last.kind < chunkStep {
		op = last.op()
	}
	p.shared = len(p.steps) > 1
	n, err := p.wire.write(op)
	p.markSent(n)
	if err != nil {
		p.wire.writeFailed(err)
	}
}

// markSent marks the steps in the first n octets of the flight as sent.
func (p *pipeline) markSent(n int) {
	for i := range p.steps {
		st := &p.steps[i]
		if st.end <= int32(n) {
			st.sent = true
			st.x.contentSent = st.x.contentSent || st.kind == endStep
		}
	}
}

// drain sends the flight and reads all replies.
func (p *pipeline) drain() { p.drainTo(0) }

// drainTo sends the flight and reads replies until at most left steps have no reply.
func (p *pipeline) drainTo(left int) {
	p.flush()
	for len(p.steps) > left && !p.wire.closed {
		if st := p.steps[0]; p.wire.writeErr != nil && !st.sent {
			p.readLastReply(st)
			return
		}
		if err := p.read(p.steps[0]); p.wire.closed {
			p.abort(err)
			return
		}
	}
	p.conn.piped = p.conn.piped || p.shared && left == 0 && !p.wire.closed
}

// read reads the reply to the first step. The error is about the session only if the connection is closed now.
func (p *pipeline) read(st step) *Error {
	var err *Error
	x := st.x
	x.proven = x.proven || p.conn.proven
	switch {
	case x.undecided == 0, st.kind == noopStep, st.kind == probeStep && x.rcptAccepted == 0:
		err = readIgnored(p.wire, st, p.lmtp)
	case st.kind == resetStep:
		err = p.readReset()
	case st.kind == rcptStep:
		err = p.readRcpt(st)
	case st.kind == probeStep:
		err = p.readProbe(x)
	case st.kind == endStep:
		err = p.readEnd(x)
	default:
		_, err = p.wire.expect(st.op(), st.kind.accepts())
		x.contentWanted = err == nil && st.kind == dataStep
		if err != nil && !p.wire.closed && !p.retry(st, err) {
			if st.kind == dataStep && err.Reply.Code == x.probeRefusal {
				p.conn.cfg.Abilities.failedWithout() // the reply to "BDAT 0" was about the message
			}
			x.mailRefused = st.kind == mailStep
			x.fail(err)
		}
	}
	if !p.wire.closed {
		p.steps = slices.Delete(p.steps, 0, 1)
		if x.undecided == 0 {
			p.finish(x)
		}
	}
	return err
}

// readReset reads the reply to RSET. A relay that refuses RSET is unusable. The message is not at fault, so the error
// has no reply, except a 421.
func (p *pipeline) readReset() *Error {
	_, err := p.wire.expect(attempt.OpMail, 2)
	if err != nil && !p.wire.closed && !p.retry(step{kind: resetStep}, err) {
		p.wire.abort()
		return &Error{Op: attempt.OpMail, Err: fmt.Errorf("RSET refused: %s", err.Reply)}
	}
	return err
}

// readRcpt reads the reply to RCPT.
func (p *pipeline) readRcpt(st step) *Error {
	x := st.x
	_, err := p.wire.expect(attempt.OpRcpt, 2)
	switch {
	case err == nil:
		x.rcptAccepted++
	case p.wire.closed || p.retry(st, err):
	case x.refuse(int(st.rcpt), err):
		p.conn.cfg.Abilities.limitRecipients(x.rcptAccepted)
	}
	return err
}

// readProbe reads the reply to a probe of BDAT. After a 5yz reply the transaction goes on with DATA: the command may be
// unknown or, if the chunk is empty, not allowed. If the reply was about the message, the relay refuses DATA, too.
func (p *pipeline) readProbe(x *transaction) *Error {
	_, err := p.wire.expect(attempt.OpData, 2)
	abilities := p.conn.cfg.Abilities
	switch {
	case err == nil:
		p.conn.chunked = true
	case p.wire.closed:
	case err.Reply.Code/100 != 5:
		x.fail(err)
	case !x.octetProbe && err.Reply.Code != 521 && !aboutCommand(err.Reply) && abilities.refusesNull():
		x.probeRefusal = err.Reply.Code
	default:
		x.probeRefusal, p.conn.noChunk = err.Reply.Code, true
		abilities.failed(Chunking, true)
	}
	return err
}

// readIgnored reads the reply to a step of a transaction that has failed before. The relay is expected to refuse the
// step, too. If the relay accepts DATA, a lone dot ends the content; but only if the relay accepted MAIL: otherwise the
// dot could end another message.
func readIgnored(w *wire, st step, lmtp bool) *Error {
	reply, err := w.expect(st.op(), 2, 3, 4, 5)
	switch {
	case err != nil:
		return err
	case reply.Code == 421:
		w.abort()
		return &Error{Op: st.op(), Reply: reply}
	case reply.Code >= 400 || st.kind < probeStep:
		return nil
	case reply.Code/100 == 3 && st.kind == dataStep && !st.x.mailRefused && !lmtp:
		st.x.emptyContent = true
		return nil
	case st.kind == endStep && st.x.emptyContent, st.kind == probeStep && !st.x.mailRefused:
		return nil
	}
	return w.unexpected(st.op(), reply)
}

// readEnd reads the reply to the end of the content: with SMTP one reply, with LMTP one reply for each recipient
// (RFC 2033, section 4.2).
func (p *pipeline) readEnd(x *transaction) *Error {
	for i := range x.results {
		if !x.isUndecided(i) {
			continue
		}
		reply, err := p.wire.expect(attempt.OpEnd, 2)
		switch {
		case err == nil:
		case p.wire.closed && p.lmtp && err.Reply.Code != 0: // the other recipients may have the message
			x.failOne(i, err)
			x.fail(&Error{Op: attempt.OpEnd, Err: errors.New("the relay hung up"), Uncertain: true})
			return err
		case p.wire.closed:
			return err
		case p.lmtp:
			x.failOne(i, err)
			continue
		default:
			p.retry(step{x: x, kind: endStep}, err)
			x.fail(err)
			return nil
		}
		p.conn.proven = true
		p.conn.cfg.Abilities.worked([features]bool{p.enabled, x.chunked, !p.conn.noParam})
		x.accept(i, reply)
		for j := i + 1; j < len(x.results) && !p.lmtp; j++ {
			x.accept(j, reply)
		}
	}
	return nil
}

// readLastReply reads a reply sent before the write failed: a 421, or a refusal of the content.
func (p *pipeline) readLastReply(st step) {
	if p.wire.ctx.Err() == nil {
		reply, err := p.wire.expect(st.op(), 2, 3, 4, 5)
		switch {
		case err != nil:
		case reply.Code == 421:
			p.wire.abort()
			p.abort(&Error{Op: st.op(), Reply: reply})
			return
		case reply.Code >= 400 && st.kind >= chunkStep:
			st.x.fail(&Error{Op: attempt.OpEnd, Reply: reply})
		}
	}
	p.abort(p.wire.lost(st.op(), p.wire.writeErr))
}

// abort fails all active transactions after an error that ended the session. The step of each error is the first step
// of the transaction without a reply, or the step of err. Content sent to the end is uncertain, except after a 421: a
// relay accepts no message after a 421.
func (p *pipeline) abort(err *Error) {
	err.Again = err.Again || p.retryAfterLoss(err)
	p.fatal = err
	for _, x := range slices.Clone(p.active) {
		x.reopen()
		e := &Error{Op: err.Op, Reply: err.Reply, Err: err.Err, Again: err.Again && !x.contentSent}
		e.Uncertain = x.contentSent && (err.Reply.Code == 0 || err.Again)
		if e.Uncertain && err.Reply.Code != 0 { // no refusal of this message
			e.Reply, e.Err = attempt.Reply{}, fmt.Errorf("the connection ended with %q", err.Reply.String())
		}
		if i := slices.IndexFunc(p.steps, func(st step) bool { return st.x == x }); i >= 0 {
			e.Op = p.steps[i].op()
			// "421 too many errors": the relay has replied for some recipients, and the next transaction offers the
			// rest.
			e.NotTried = err.Reply.Code == 421 && p.steps[i].kind == rcptStep && x.hasRefusal()
		}
		x.fail(e)
		p.finish(x)
	}
	p.steps, p.active = nil, nil
}

// finish passes the results of a transaction to the caller, once.
func (p *pipeline) finish(x *transaction) {
	p.active = slices.DeleteFunc(p.active, func(y *transaction) bool { return x == y })
	if !x.resultsHandled {
		x.resultsHandled = true
		x.addContext(&p.conn.cfg)
		p.done(x.original, x.results)
	}
}

// addContext adds the facts about the connection to the errors of x.
func (x *transaction) addContext(cfg *Config) {
	for i := range x.results {
		if e := x.results[i].Err; e != nil {
			e.LoggedIn, e.Proven, e.NullSender = cfg.Auth != nil, x.proven, x.From == ""
			e.NoQuotas = cfg.NoQuotas
		}
	}
}
