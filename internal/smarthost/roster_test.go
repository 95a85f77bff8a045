package smarthost

import (
	"errors"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

func TestRosterCountsSessions(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := newRoster()
	p := &pool{}
	a, b, c := newSession(p, false), newSession(p, false), newSession(p, false)
	for _, s := range []*session{a, b, c} {
		r.add(s)
	}
	is.Equal([]int{r.count(), r.connected(), r.staying(), r.running}, []int{3, 0, 3, 3})
	r.connecting -= 2
	r.greet(a)
	r.greet(b)
	is.Equal([]int{r.connected(), r.greeted}, []int{2, 2})
	r.park(a)
	r.park(b)
	is.Equal(r.takeIdle(), b) // the session idle for the shortest time
	is.True(!r.unpark(b))     // not idle any more
	is.True(r.unpark(a))
	is.True(r.takeIdle() == nil)
	r.leave(a)
	is.Equal(r.staying(), 2)
	r.remove(a) // connection lost, goroutine still running
	is.Equal([]int{r.count(), r.greeted, r.running, r.leaving}, []int{2, 1, 3, 1})
	r.end(a)
	is.Equal([]int{r.count(), r.greeted, r.running, r.leaving}, []int{2, 1, 2, 0}) // counted once
	r.park(b)
	r.dismissIdle()
	is.Equal(<-b.hand, nil) // told to end
	is.True(b.leaving)
	why := errors.New("why")
	b.conn = &smtpclient.Conn{}
	r.cutConnecting(why)
	is.NoErr(b.ctx.Err()) // connected: goes on
	is.True(c.ctx.Err() != nil)
	r.cut(why)
	is.True(b.ctx.Err() != nil)
}

func TestWaitlistKeepsOrder(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	var w waitlist
	ended := map[string]attempt.Outcome{}
	offerOf := func(from string) *offer {
		return newOffer("r", mail(from), func(o []attempt.Outcome) { ended[from] = o[0] })
	}
	a, b, c := offerOf("a"), offerOf("b"), offerOf("c")
	w.add(a)
	w.add(b)
	w.add(c)
	is.Equal(w.pop(), a)
	is.Equal(w.pop(), b)
	w.putBack([]*offer{a, b}) // before c, in the same order
	is.Equal(w.pop(), a)
	is.Equal(w.len(), 2)
	is.Equal(len(ended), 0)
	w.fail(&smtpclient.Error{Op: attempt.OpDial, Err: errors.New("down")})
	is.Equal(w.len(), 0)
	is.Equal([]attempt.Fault{ended["b"].Fault, ended["c"].Fault}, []attempt.Fault{attempt.Relay, attempt.Relay})
	is.Equal(ended["b"].Relay, "r")
	w.add(offerOf("d"))
	why := errors.New("why")
	w.end(why)
	w.add(offerOf("e"))
	w.putBack([]*offer{offerOf("f")})
	for _, from := range []string{"d", "e", "f"} {
		is.Equal(ended[from].Fault, attempt.None) // withdrawn, not failed
		is.Equal(ended[from].Err, why)
	}
	w.reopen()
	w.add(a)
	is.Equal(w.pop(), a)
	is.True(w.pop() == nil)
}
