package smtpclient

import (
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/attempt"
)

// aboutCommand reports whether a reply is about a command and not about the message: the command is unknown, not
// implemented, out of order, or has a parameter that is not implemented.
func aboutCommand(r attempt.Reply) bool {
	return slices.Contains([]int{500, 502, 503, 504, 555}, r.Code)
}

// aboutPipelining reports whether the text of a reply names pipelining, as Exim ("synchronization error") and Postfix
// ("improper use of SMTP command pipelining") do.
func aboutPipelining(r attempt.Reply) bool {
	text := strings.ToLower(r.Text)
	return r.Code/100 == 5 && (strings.Contains(text, "pipelin") || strings.Contains(text, "synchroni"))
}

var (
	tooMany = regexp.MustCompile(`(?i)too many (recipients|rcpt|addressees)|` +
		`(recipient|rcpt)s? (count|limit).{0,20}(exceed|reached)`)
	recipientCount = regexp.MustCompile(
		`(?i)(?:exceeds|limit of|maximum of|max(?:imum)? is|limit is|limit:) ?(\d{1,5})\b`)
)

// saysTooMany reports whether the text of a refusal names the number of recipients.
func saysTooMany(r attempt.Reply) bool { return r.Code >= 400 && tooMany.MatchString(r.Text) }

// retry decides whether the message of a refused step is to be sent again, in another way. If so, retry has noted the
// fact in the Abilities, has set err.Again, and has closed the connection if its state is unknown.
func (p *pipeline) retry(st step, err *Error) bool {
	a := p.conn.cfg.Abilities
	switch {
	case p.conn.proven && endsConnection(st, err.Reply):
		err.Ended, p.conn.ended = true, true
		return false
	case a == nil:
		return false
	case st.kind < chunkStep && p.enabled && p.shared && isPipelineError(st, err.Reply):
		if a.failed(Pipelining, true) {
			err.Again = true
			p.wire.abort()
			return true
		}
	case st.kind <= rcptStep && !p.conn.noParam && isParameterError(err.Reply):
		err.Again = a.failed(Parameters, true)
	case st.kind == mailStep && st.x.From == "" && err.Reply.Code/100 == 5:
		a.refuseNullSender()
		err.Again = p.conn.cfg.replacesNullSender(st.x.Transaction)
	case st.kind <= rcptStep && !p.conn.noParam && isSyntaxError(err.Reply) && hasParameters(p, st):
		err.Again = a.failed(Parameters, false)
	case st.kind >= dataStep && saysTooMany(err.Reply) && st.x.rcptAccepted > 1:
		err.Again = a.limitRecipients(limitIn(err.Reply, st.x.rcptAccepted))
	case st.kind >= chunkStep && st.x.chunked && aboutCommand(err.Reply):
		p.conn.noChunk = true
		err.Again = a.failed(Chunking, true)
	case st.kind == dataStep && aboutCommand(err.Reply) && st.x.rcptAccepted > 1:
		err.Again = a.limitRecipients(st.x.rcptAccepted / 2)
	}
	if !err.Again && st.kind < chunkStep && (aboutCommand(err.Reply) || isSyntaxError(err.Reply)) {
		a.failedWithout()
	}
	return false
}

// isPipelineError reports whether the reply to a command of a flight can be the result of a lost command.
func isPipelineError(st step, r attempt.Reply) bool {
	switch {
	case aboutPipelining(r):
		return true
	case st.kind == rcptStep:
		return r.Code == 500 || r.Code == 502 || r.Code == 503
	}
	return aboutCommand(r)
}

// isParameterError reports whether a reply to MAIL or RCPT is about the parameters of the command.
func isParameterError(r attempt.Reply) bool {
	return r.Code == 555 || r.Enhanced == "5.5.4" && (r.Code == 501 || r.Code == 504) ||
		r.Code == 504 && r.Enhanced == ""
}

// isSyntaxError reports whether a reply to MAIL or RCPT is about the parameters of the command or about the address.
func isSyntaxError(r attempt.Reply) bool {
	return r.Code == 501 && (r.Enhanced == "" || r.Enhanced == "5.5.2")
}

// hasParameters reports whether the command MAIL or RCPT of st has parameters.
func hasParameters(p *pipeline, st step) bool {
	if st.kind == rcptStep {
		at := int(st.rcpt)
		return st.x.ext.has("DSN") && (at < len(st.x.Notify) || at < len(st.x.ORcpt))
	}
	return slices.ContainsFunc(st.x.ext, extension.hasParameters)
}

// The patterns match refusals that are about the number of messages on the connection. The reply to MAIL may be less
// clear, such as OpenSMTPD's "452 4.5.3 Too many recipients: Too many messages sent".
var (
	perConnection = regexp.MustCompile(`(?i)(messages?|(e-?)?mails?|transactions?) ((limit|count) )?` +
		`((reached|exceeded) )?(per|in|on|for) (this |the |one |a )?(same )?(smtp )?(connection|session)`)
	manyMessages = regexp.MustCompile(`(?i)too many (messages|mails|e-?mails|transactions)|` +
		`max(imum)?\.? (number of )?(messages|mails|transactions)`)
)

// endsConnection reports whether a refusal says that the connection has carried enough messages, or that the relay
// expects no MAIL. A relay that says so on a new connection limits the rate.
func endsConnection(st step, r attempt.Reply) bool {
	switch {
	case perConnection.MatchString(r.Text):
		return true
	case st.kind == mailStep:
		return r.Code == 503 && !aboutPipelining(r) || manyMessages.MatchString(r.Text)
	}
	return false
}

// limitIn returns the number of recipients that a refusal names, or half of n.
func limitIn(r attempt.Reply, n int) int {
	if found := recipientCount.FindStringSubmatch(r.Text); found != nil {
		if limit, err := strconv.Atoi(found[1]); err == nil && limit > 0 && limit < n {
			return limit
		}
	}
	return n / 2
}

// retryAfterLoss decides whether the messages of a lost connection are to be sent again, in another way. A server that
// offers PIPELINING or CHUNKING and supports neither drops commands or replies, or closes the connection; a firewall
// closes the connection after a number of recipients. If so, retryAfterLoss has noted the fact in the Abilities.
func (p *pipeline) retryAfterLoss(err *Error) bool {
	a := p.conn.cfg.Abilities
	if a != nil && err.Reply.Code == 421 && len(p.steps) > 0 && p.steps[0].kind == rcptStep {
		x := p.steps[0].x // the relay ends the connection for the number of recipients
		return tooManyRecipients(err.Reply) && x.rcptAccepted > 0 && a.limitRecipients(x.rcptAccepted)
	}
	if a == nil || err.Reply.Code != 0 || len(p.steps) == 0 || p.wire.ctx == nil || p.wire.ctx.Err() != nil {
		return false
	}
	st, timeout := p.steps[0], errors.Is(err.Err, os.ErrDeadlineExceeded)
	switch {
	case !timeout && p.conn.proven && st.kind <= mailStep && st.x.contentSent:
		a.lostBetween()
		return false
	case st.kind == probeStep && errors.Is(err.Err, errReply): // such as 354 to BDAT
		return a.failed(Chunking, true)
	case !timeout && !IsHungUp(err.Err):
		return false
	case st.kind == rcptStep && st.x.offered > firstLimited && a.limitRecipients(firstLimited):
		return true
	case st.kind == probeStep && a.failed(Chunking, false):
		return true
	case st.kind >= chunkStep && st.x.chunked:
		a.failed(Chunking, false) // the message may be to blame, or was accepted
		return false
	case st.x.probeRefusal != 0 && st.kind < chunkStep: // the relay has closed the connection after a refused BDAT
		return true
	case st.kind < chunkStep && p.enabled && p.shared && (timeout || !p.conn.piped) && a.failed(Pipelining, timeout):
		return true
	case st.kind == rcptStep && st.x.rcptAccepted > 1 && a.limitRecipients(st.x.rcptAccepted):
		return true
	}
	if st.kind < chunkStep {
		a.failedWithout()
	}
	return false
}

// IsHungUp reports whether err is an error of a connection that the other end has closed or reset.
func IsHungUp(err error) bool {
	for _, cause := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
