package spooldir_test

import (
	"time"

	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/report"
	"github.com/unbit/spoolgore/internal/spooldir"
)

func init() { spooldir.Tell = tell } // which cannot be imported there: it imports the package itself

func tell(d *spooldir.Dir) error {
	names, err := d.Untold()
	if err != nil {
		return err
	}
	desk := notify.New(d, "host.example", func([]byte) (notify.News, error) {
		r := report.Report{To: "f@x.org", Recipients: []report.Recipient{{Address: "a@x.org", Action: report.Failed}}}
		return notify.News{Report: r, Total: 1}, nil
	})
	now := time.Now()
	for _, name := range names {
		desk.Owe(name, now)
	}
	for desk.Wait(now) == 0 {
		desk.Start(now)
		o := <-desk.Done()
		if desk.Finish(o, now); o.Err != nil {
			return o.Err
		}
	}
	return nil
}
