package smtppool

import (
	"cmp"
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

// add appends an offer, or withdraws the offer if the waitlist or the context of the offer has ended.
func (w *waitlist) add(o *offer) {
	if cause := cmp.Or(w.ended, o.canceled); cause != nil {
		o.withdraw(cause)
		return
	}
	w.offers.PushBack(o)
}

// remove removes an offer, and returns false if the offer does not wait.
func (w *waitlist) remove(o *offer) bool {
	for at := w.offers.Front(); at != nil; at = at.Next() {
		if at.Value == o {
			w.offers.Remove(at)
			return true
		}
	}
	return false
}

// putBack puts offers before the waiting offers, in order. An offer is withdrawn if the waitlist or the context of the
// offer has ended.
func (w *waitlist) putBack(offers []*offer) {
	for i := len(offers) - 1; i >= 0; i-- {
		o := offers[i]
		o.session = nil
		if cause := cmp.Or(w.ended, o.canceled); cause != nil {
			o.withdraw(cause)
			continue
		}
		w.offers.PushFront(o)
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
