package qshape_test

import (
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/record"
)

func TestTally(t *testing.T) {
	is := is.New(t)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	sum := qshape.New(now)
	for name, e := range map[string]*mailq.Entry{
		"young": {State: mailq.Waiting, Size: 10, Enqueued: now.Add(-time.Minute), To: []record.Recipient{{Address: "a@X.org"}}},
		"old": {State: mailq.Deferred, Size: 20, Enqueued: now.Add(-5 * time.Hour), Cc: []record.Recipient{
			{Address: "b@x.org", Error: "rcpt: 450 4.2.1 <b@x.org>: wait, id 4F1A22B3C9"}, {Address: "c@y.org", Error: "rcpt: 450 4.2.1 <c@y.org>: wait, id 9911AABBCC"},
			{Address: "has@x.org", Status: record.Done}}},
		"broken": {State: mailq.Unusable, Size: 1, Enqueued: now.Add(-2 * time.Hour), Error: "no recipients"},
		"held":   {State: mailq.Held, Size: 5, Enqueued: now.Add(-1000 * time.Hour), To: []record.Recipient{{Address: "h@x.org"}}},
		"failed": {State: mailq.Failed, Size: 6, Enqueued: now.Add(-1000 * time.Hour), To: []record.Recipient{{Address: "f@x.org", Status: record.Done, GivenUp: true}}},
		"later":  {State: mailq.Scheduled, Size: 7, Enqueued: now.Add(-9 * time.Hour), NotBefore: now.Add(time.Hour), To: []record.Recipient{{Address: "l@x.org"}}},
	} {
		e.Name = name
		sum.Add(e)
	}
	is.Equal(sum.Queue, qshape.Sum{Messages: 3, Bytes: 31, Oldest: now.Add(-5 * time.Hour)})
	is.Equal(sum.Oldest, "old")
	is.Equal(sum.States[mailq.Held].Messages, 1)
	is.Equal(sum.Recipients.Total, 3)
	domains := sum.Domains(0)
	is.Equal(len(domains), 2)
	is.Equal(domains[0], qshape.Shape{Name: "x.org", Total: 2, ByAge: [8]int{0: 1, 4: 1}})
	is.Equal(sum.Domains(1), domains[:1])
	reasons := sum.Reasons(0)
	is.Equal(reasons[0].Name, "rcpt: 450 4.2.1 <…>: wait, id …") // both replies have the same reason
	is.Equal(reasons[0].Total, 2)
	is.Equal(reasons[1].Name, "no recipients")
}
