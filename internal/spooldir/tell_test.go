package spooldir_test

import (
	"errors"
	"time"

	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func init() { spooldir.Tell = tell } // internal/notify imports the package under test

func tell(d *spooldir.Dir) error {
	names, err := d.Failed().ReportsOwed()
	if err != nil {
		return err
	}
	notifier := notify.New(d, "host.example")
	now := time.Now()
	for _, name := range names {
		notifier.Owe(name, now)
	}
	if notifier.Wait(now) != 0 {
		return nil
	}
	notifier.Start(now, func() {})
	var errs []error
	for _, o := range <-notifier.Done() {
		errs = append(errs, o.Err)
	}
	return errors.Join(errs...)
}
