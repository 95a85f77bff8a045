// Package guard calls functions of the application, which may panic, in place of the spool.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/emersion/go-sasl"
)

// Call calls f, a function of the application. A panic becomes an error, and is logged with its stack.
func Call(log *slog.Logger, name string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", name, p)
			stack := string(debug.Stack())
			log.Error("panic in a function of the application", "function", name, "err", err, "stack", stack)
		}
	}()
	f()
	return nil
}

// Dial returns dial with a panic as an error; nil: dial is nil.
func Dial(
	log *slog.Logger, dial func(ctx context.Context, network, addr string) (net.Conn, error),
) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if dial == nil {
		return nil
	}
	return func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
		failed := Call(log, "Options.Dial", func() { nc, err = dial(ctx, network, addr) })
		switch {
		case failed != nil:
			return nil, failed
		case err == nil && nc == nil:
			return nil, errors.New("Options.Dial returned neither a connection nor an error")
		}
		return nc, err
	}
}

// secretLimit is the limit for a call of a function that returns a secret.
const secretLimit = 2 * time.Minute

// Secret returns secret, a function called name, with a panic as an error; nil: secret is nil. A call that outlasts its
// context, or two minutes, is an error, too, and goes on without an effect.
func Secret(
	log *slog.Logger, name string, secret func(ctx context.Context, again bool) (string, error),
) func(ctx context.Context, again bool) (string, error) {
	if secret == nil {
		return nil
	}
	type result struct {
		text string
		err  error
	}
	return func(ctx context.Context, again bool) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, secretLimit)
		defer cancel()
		done := make(chan result, 1)
		go func() {
			r := result{err: errors.New(name + " ended its goroutine")}
			defer func() { done <- r }()
			if failed := Call(log, name, func() { r.text, r.err = secret(ctx, again) }); failed != nil {
				r = result{err: failed}
			}
		}()
		select {
		case r := <-done:
			return r.text, r.err
		case <-ctx.Done():
			return "", fmt.Errorf("%s: %w", name, context.Cause(ctx))
		}
	}
}

// Auth returns auth, whose clients log in, with a panic of auth or of a client as an error; nil: auth is nil.
func Auth(log *slog.Logger, auth func(mechanism string) sasl.Client) func(mechanism string) sasl.Client {
	if auth == nil {
		return nil
	}
	return func(mechanism string) (c sasl.Client) {
		err := Call(log, "SMTP.Auth", func() {
			if own := auth(mechanism); own != nil {
				c = client{own, log}
			}
		})
		if err != nil {
			return broken{err}
		}
		return c
	}
}

// client is a sasl.Client of the application.
type client struct {
	sasl.Client
	log *slog.Logger
}

// Start begins the login.
func (c client) Start() (mech string, ir []byte, err error) {
	if failed := Call(c.log, "sasl.Client.Start", func() { mech, ir, err = c.Client.Start() }); failed != nil {
		return "", nil, failed
	}
	return mech, ir, err
}

// Next answers a challenge.
func (c client) Next(challenge []byte) (response []byte, err error) {
	if failed := Call(c.log, "sasl.Client.Next", func() { response, err = c.Client.Next(challenge) }); failed != nil {
		return nil, failed
	}
	return response, err
}

// broken is a sasl.Client whose login fails with err.
type broken struct{ err error }

// Start returns the error.
func (b broken) Start() (string, []byte, error) { return "", nil, b.err }

// Next returns the error.
func (b broken) Next([]byte) ([]byte, error) { return nil, b.err }

// Backoff returns f with the result of usual in place of a panic and of a negative result; f nil: usual.
func Backoff(log *slog.Logger, f, usual func(attempts int) time.Duration) func(attempts int) time.Duration {
	if f == nil {
		return usual
	}
	return func(attempts int) (d time.Duration) {
		if err := Call(log, "Options.Backoff", func() { d = f(attempts) }); err != nil || d < 0 {
			return usual(attempts)
		}
		return d
	}
}

// Attempt returns on, the function Options.OnAttempt, with the context that it got and a function that does nothing in
// place of nil and of a panic.
func Attempt[T, R any](
	log *slog.Logger, on func(context.Context, T) (context.Context, func(R)),
) func(context.Context, T) (context.Context, func(R)) {
	return func(ctx context.Context, t T) (within context.Context, end func(R)) {
		within, end = ctx, func(R) {}
		_ = Call(log, "Options.OnAttempt", func() {
			c, f := on(ctx, t)
			if c != nil {
				within = c
			}
			if f != nil {
				end = func(r R) { _ = Call(log, "the function of Options.OnAttempt", func() { f(r) }) }
			}
		})
		return within, end
	}
}

// Text returns the text of err; empty: there is no error.
func Text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
