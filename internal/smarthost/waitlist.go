package smarthost

import (
	"container/list"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// A waitlist holds the offers that no session has taken, in order. The mutex of the pool guards the waitlist. The zero
// value is an empty waitlist.
type waitlist struct {
	offers list.List // of *offer
	ended  error     // cause of Cut or Retire: offers are withdrawn; nil: offers are accepted
}

// len returns the number of waiting offers.
func (w *waitlist) len() int { return w.offers.Len() }

// add appends an offer, or withdraws the offer if the waitlist has ended.
func (w *waitlist) add(o *offer) {
	if w.ended != nil {
		o.withdraw(w.ended)
		return
	}
	w.offers.PushBack(o)
}

// putBack puts offers before the waiting offers, in order, or withdraws the offers if the waitlist has ended.
func (w *waitlist) putBack(offers []*offer) {
	for i := len(offers) - 1; i >= 0; i-- {
		if w.ended != nil {
			offers[i].withdraw(w.ended)
			continue
		}
		w.offers.PushFront(offers[i])
	}
}

// pop removes and returns the first offer, or nil.
func (w *waitlist) pop() *offer {
	front := w.offers.Front()
	if front == nil {
		return nil
	}
	return w.offers.Remove(front).(*offer)
}

// fail fails all waiting offers.
func (w *waitlist) fail(err *smtpclient.Error) {
	for o := w.pop(); o != nil; o = w.pop() {
		o.fail(err)
	}
}

// end withdraws all waiting offers, and every later offer.
func (w *waitlist) end(cause error) {
	w.ended = cause
	for o := w.pop(); o != nil; o = w.pop() {
		o.withdraw(cause)
	}
}

// reopen accepts offers again after end.
func (w *waitlist) reopen() { w.ended = nil }
