package engine

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/unbit/spoolgore/internal/delivery"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Complete sets the defaults of o for the spool dir, or returns an error for a wrong option.
func (o *Options) Complete(dir *spooldir.Dir) (err error) {
	for name, n := range map[string]int64{
		"Freq": int64(o.Freq), "Settle": int64(o.Settle), "Attempts": int64(o.Retry.MaxAttempts),
		"MaxAge": int64(o.MaxAge), "Concurrency": int64(o.Delivery.Concurrency), "Grace": int64(o.Grace),
		"SMTPTimeout": int64(o.Delivery.Timeout), "WarnAfter": int64(o.WarnAfter), "Trace": int64(o.Trace),
		"MaxRecipients": int64(o.Most),
	} {
		if n < 0 {
			return fmt.Errorf("option %s is negative", name)
		}
	}
	if o.Most > record.MostRecipients {
		return fmt.Errorf("option MaxRecipients is above %d", record.MostRecipients)
	}
	if o.Postmaster != "" {
		if _, err := message.Canonical(o.Postmaster); err != nil {
			return fmt.Errorf("option Postmaster: %q is no address: %w", o.Postmaster, err)
		}
	}
	o.Freq = cmp.Or(o.Freq, 10*time.Second)
	o.Settle = cmp.Or(o.Settle, spooldir.SettleTime)
	o.MaxAge = cmp.Or(o.MaxAge, retry.MaxAge)
	o.Most = cmp.Or(o.Most, record.MaxRecipients)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	usual := func(attempts int) time.Duration { return delivery.Jitter(retry.After(attempts)) }
	o.Retry.MaxAttempts = cmp.Or(o.Retry.MaxAttempts, retry.Attempts)
	o.Retry.Backoff = guard.Backoff(o.Logger, o.Retry.Backoff, usual)
	o.StatusFile, err = spooldir.StatusPath(dir, o.StatusFile)
	return err
}
