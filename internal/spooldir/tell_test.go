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
	desk := notify.New(d, "host.example")
	now := time.Now()
	for _, name := range names {
		desk.Owe(name, now)
	}
	if desk.Wait(now) != 0 {
		return nil
	}
	desk.Start(now, func() {})
	var errs []error
	for _, o := range <-desk.Done() {
		errs = append(errs, o.Err)
	}
	return errors.Join(errs...)
}
