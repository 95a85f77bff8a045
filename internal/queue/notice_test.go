package queue

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// A file is renamed during its transaction, while the report on its delay is being made. No report can be made under the old name, so another
// one is due.
func TestReportOfARenamedMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d := sent(t)
	d.now = d.now.Add(4 * time.Hour)
	d.q.Advance(d.now, Room{}, 100)
	var notice Act
	for _, a := range d.q.TakeActs() {
		if a.Kind == Notify {
			notice = a
		}
	}
	is.Equal(notice.Name, "m")
	j, ok := d.q.Next(0, Slots{Any: 1, Large: 1}, d.now)
	is.True(ok)
	d.move(d.spool, d.spool, "m", "n")
	d.rest(t)
	d.q.Acted(notice, Result{}, d.now)
	d.q.Finished(j, Finish{Outcomes: []attempt.Outcome{deferral}}, d.now)
	asked := ""
	for range 3 {
		d.q.Advance(d.now, Room{}, 100)
		for _, a := range d.q.TakeActs() {
			switch {
			case a.Kind == Notify:
				asked = a.Name
			case !a.Lazy:
				d.q.Acted(a, d.do(a), d.now)
			}
		}
	}
	is.Equal(asked, "n")
}
