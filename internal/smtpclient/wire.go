package smtpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/guard"
)

const (
	quitLimit = 10 * time.Second
	lastLimit = time.Second // time to read a reply after a failed write
)

// A wire sends commands over a connection and reads replies, each with a deadline. The wire closes the connection as
// soon as the state of the session is unknown.
type wire struct {
	raw      net.Conn // connection below TLS; closing raw interrupts a TLS handshake, too
	nc       net.Conn // raw, or TLS over raw
	in       *lineReader
	out      flight          // octets of the next write
	authText bool            // errors of AUTH have the text of the reply
	timeout  time.Duration   // upper bound for each step; zero: only the limits of RFC 5321
	limit    time.Duration   // time limit of the current step
	closed   bool            // the connection is closed, or the state of the session is unknown
	writeErr error           // error of the write that failed; no write follows
	ctx      context.Context // context of the current call: the reason if the connection is closed under the call
}

func newWire(nc net.Conn, cfg *Config) wire {
	w := wire{raw: nc, timeout: cfg.Timeout, authText: cfg.AuthText}
	w.read(nc, cfg.Logins)
	return w
}

// read makes nc the connection of the next steps. Replies have no secrets of logins.
func (w *wire) read(nc net.Conn, logins *Logins) {
	w.nc, w.in = nc, newLineReader(nc)
	if logins != nil {
		w.in.earlier = &logins.secrets
	}
}

// watch closes the connection when ctx ends. The caller calls done at the end of the call.
func (w *wire) watch(ctx context.Context) (done func()) {
	w.ctx = ctx
	stop := context.AfterFunc(ctx, func() { _ = w.raw.Close() })
	return func() {
		if !stop() {
			w.abort()
		}
		w.ctx = nil
	}
}

// close closes the connection without a QUIT.
func (w *wire) close() error {
	w.closed = true
	w.out.release()
	if err := w.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the connection: %w", err)
	}
	return nil
}

// abort closes the connection because the state of the session is unknown.
func (w *wire) abort() { _ = w.close() }

// handshake starts TLS on the connection.
func (w *wire) handshake(cfg *tls.Config, logins *Logins) (*tls.Conn, *Error) {
	w.limit = w.limitFor(attempt.OpTLS)
	if err := w.raw.SetDeadline(time.Now().Add(w.limit)); err != nil {
		return nil, w.lost(attempt.OpTLS, err)
	}
	secure := tls.Client(w.raw, cfg)
	var err error
	panicked := guard.Call(slog.Default(), "TLSConfig", func() { err = secure.Handshake() })
	if err = cmp.Or(panicked, err); err != nil {
		return nil, w.lost(attempt.OpTLS, fmt.Errorf("handshake: %w", explainCertificate(err)))
	}
	w.read(secure, logins)
	return secure, nil
}

// write sends the flight in one write and returns the number of octets sent.
func (w *wire) write(op attempt.Op) (int, error) {
	if w.out.len() == 0 {
		return 0, nil
	}
	defer w.out.release()
	w.limit = w.limitFor(op)
	if err := w.nc.SetDeadline(time.Now().Add(w.limit)); err != nil {
		return 0, err
	}
	return w.nc.Write(w.out.bytes())
}

// ask sends a command, given in parts, and reads the reply. Any reply other than the wanted replies is an error; see
// expect.
func (w *wire) ask(op attempt.Op, want []int, command ...string) (attempt.Reply, *Error) {
	return w.askLines(op, want, nil, command...)
}

// askLines is ask with a callback for each line of the reply.
func (w *wire) askLines(op attempt.Op, want []int, each func(string), command ...string) (attempt.Reply, *Error) {
	if err := w.checkSilent(op); err != nil {
		return attempt.Reply{}, err
	}
	w.out.put(command...)
	w.out.put("\r\n")
	if _, err := w.write(op); err != nil {
		return attempt.Reply{}, w.notSent(op, err)
	}
	return w.expectLines(op, want, each)
}

// checkSilent fails if the relay has sent a reply without a command: every later reply would be read as the reply to
// the command after its own. A relay may send 421 at any time (RFC 5321, section 3.8).
func (w *wire) checkSilent(op attempt.Op) *Error {
	if w.in.skipBlank(); w.in.buffered() == 0 {
		return nil
	}
	_, err := w.expect(op)
	if !w.closed {
		return w.unexpected(op, err.Reply)
	}
	return err
}

// errBadAuth is the error of an invalid reply to AUTH.
var errBadAuth = errors.New("bad reply line")

// notSent returns the error for a command that could not be sent. The relay may have sent a 421 before.
func (w *wire) notSent(op attempt.Op, err error) *Error {
	w.writeFailed(err)
	reply, failed := w.expect(op, 2, 3, 4, 5)
	if failed == nil && reply.Code == 421 {
		w.abort()
		return &Error{Op: op, Reply: reply}
	}
	return w.lost(op, err)
}

// writeFailed records the error of a write, and leaves a moment to read replies that the relay sent before.
func (w *wire) writeFailed(err error) {
	w.writeErr = err
	_ = w.nc.SetReadDeadline(time.Now().Add(min(w.limit, lastLimit)))
}

// expect reads a reply. want holds codes, or first digits of codes. A refusal (4yz, 5yz) is an error with the reply. An
// invalid reply, and the loss of the connection, is an error without a reply, and the connection is closed.
func (w *wire) expect(op attempt.Op, want ...int) (attempt.Reply, *Error) {
	return w.expectLines(op, want, nil)
}

// expectLines is expect with a callback for each line of the reply.
func (w *wire) expectLines(op attempt.Op, want []int, each func(string)) (attempt.Reply, *Error) {
	var err error
	if w.writeErr == nil {
		w.limit = w.limitFor(op)
		err = w.nc.SetDeadline(time.Now().Add(w.limit)) // for the complete reply
	}
	var reply attempt.Reply
	if err == nil || w.in.buffered() > 0 { // a relay that hung up may have sent a reason before
		reply, err = readReply(w.in, each)
	}
	bare := op == attempt.OpAuth && !w.authText // a reply to AUTH can have parts of the login: only its codes are kept
	if err != nil {
		if bad := new(badLineError); bare && errors.As(err, &bad) {
			err = errBadAuth
		}
		return attempt.Reply{}, w.lost(op, err)
	}
	for _, code := range want {
		if reply.Code == code || reply.Code/100 == code {
			return reply, nil
		}
	}
	if bare {
		reply.Text = ""
	}
	switch {
	case reply.Code == 421:
		w.abort()
	case reply.Code < 400:
		return attempt.Reply{}, w.unexpected(op, reply)
	}
	return attempt.Reply{}, &Error{Op: op, Reply: reply}
}

// errReply is the cause of an error of unexpected.
var errReply = errors.New("unexpected reply")

// unexpected returns the error for a reply that is invalid at a step, and closes the connection.
func (w *wire) unexpected(op attempt.Op, reply attempt.Reply) *Error {
	w.abort()
	return &Error{Op: op, Err: fmt.Errorf("%w %q", errReply, reply.String())}
}

// lost returns the error for a failed connection, and closes the connection. The first failure is the cause.
func (w *wire) lost(op attempt.Op, err error) *Error {
	w.abort()
	if w.writeErr != nil {
		err = w.writeErr
	}
	switch {
	case w.ctx != nil && w.ctx.Err() != nil:
		err = context.Cause(w.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("nothing within %v: %w", w.limit, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		err = fmt.Errorf("the relay hung up: %w", err)
	}
	return &Error{Op: op, Err: err}
}

// limitFor returns the time limit of a step (RFC 5321, section 4.5.3.2).
func (w *wire) limitFor(op attempt.Op) time.Duration {
	limit := 2 * time.Minute
	switch op {
	case attempt.OpGreeting, attempt.OpEHLO, attempt.OpMail, attempt.OpRcpt:
		limit = 5 * time.Minute
	case attempt.OpContent:
		limit = 3 * time.Minute
	case attempt.OpEnd:
		limit = 10 * time.Minute
	case opQuit:
		limit = quitLimit
	}
	if w.timeout > 0 {
		limit = min(limit, w.timeout)
	}
	return limit
}
