package smtppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

func answer(op attempt.Op, code int, enhanced string) *smtpclient.Error {
	return &smtpclient.Error{Op: op, Reply: attempt.Reply{Code: code, Enhanced: enhanced}}
}

func lost(op attempt.Op) *smtpclient.Error { return &smtpclient.Error{Op: op, Err: io.EOF} }

func TestObserve(t *testing.T) {
	timeout := &smtpclient.Error{Op: attempt.OpMail, Err: fmt.Errorf("nothing: %w", os.ErrDeadlineExceeded)}
	noAddress := &smtpclient.Error{Op: attempt.OpMail, Err: smtpclient.ErrAddress}
	uncertain := &smtpclient.Error{Op: attempt.OpMail, Err: io.EOF, Uncertain: true}
	for name, tt := range map[string]struct {
		errs []*smtpclient.Error
		want evidence
	}{
		"accepted":         {[]*smtpclient.Error{nil}, evidence{accepted: true, answered: true}},
		"accepted in part": {[]*smtpclient.Error{nil, answer(attempt.OpRcpt, 550, "")}, evidence{accepted: true, answered: true}},
		"refused":          {[]*smtpclient.Error{answer(attempt.OpMail, 550, "")}, evidence{answered: true}},
		"421 at MAIL":      {[]*smtpclient.Error{answer(attempt.OpMail, 421, "")}, evidence{closing: true, unheard: true, undecided: true}},
		"421 at DATA":      {[]*smtpclient.Error{answer(attempt.OpData, 421, "")}, evidence{closing: true, unheard: true, undecided: true}},
		"421 at the end":   {[]*smtpclient.Error{answer(attempt.OpEnd, 421, "")}, evidence{closing: true, undecided: true}},
		"421, another 550": {[]*smtpclient.Error{answer(attempt.OpRcpt, 550, ""), answer(attempt.OpRcpt, 421, "")}, evidence{closing: true, answered: true, undecided: true}},
		"421, too fast":    {[]*smtpclient.Error{answer(attempt.OpRcpt, 421, "4.3.2")}, evidence{closing: true, undecided: true, throttled: true, unheard: true}},
		"452, enough messages": {
			[]*smtpclient.Error{{Op: attempt.OpMail, Reply: attempt.Reply{Code: 452}, Ended: true}},
			evidence{closing: true, unheard: true},
		},
		"too fast":              {[]*smtpclient.Error{answer(attempt.OpEnd, 454, "")}, evidence{answered: true, undecided: true, throttled: true}},
		"greylisted":            {[]*smtpclient.Error{answer(attempt.OpRcpt, 450, "4.7.1")}, evidence{answered: true, undecided: true}},
		"lost at MAIL":          {[]*smtpclient.Error{lost(attempt.OpMail)}, evidence{unheard: true, hungUp: true}},
		"lost at MAIL, all out": {[]*smtpclient.Error{uncertain}, evidence{unheard: true, hungUp: true, uncertain: true}},
		"lost at RCPT":          {[]*smtpclient.Error{lost(attempt.OpRcpt)}, evidence{hungUp: true}},
		"time-out":              {[]*smtpclient.Error{timeout}, evidence{timeout: true}},
		"no address":            {[]*smtpclient.Error{noAddress}, evidence{}},
		"unreadable":            {[]*smtpclient.Error{{Op: attempt.OpMail, Err: io.ErrUnexpectedEOF, Source: true}}, evidence{source: true}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			results := make([]smtpclient.Result, len(tt.errs))
			for i, err := range tt.errs {
				results[i].Err = err
			}
			is.Equal(observe(results), tt.want)
		})
	}
}

func TestOffersAgain(t *testing.T) {
	alive, dead := t.Context(), func() context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("cut"))
		return ctx
	}()
	closing, unanswered, uncertain := evidence{closing: true}, evidence{}, evidence{uncertain: true}
	for name, tt := range map[string]struct {
		ctx                     context.Context
		served, silent, spoiled bool
		others, losses          int
		v                       evidence
		want, refused, rested   bool
	}{
		"421 after others":                 {ctx: alive, served: true, v: closing, want: true},
		"421 on a new one":                 {ctx: alive, v: closing},
		"421 on a new one beside others":   {ctx: alive, others: 1, v: closing, want: true, refused: true},
		"lost after others":                {ctx: alive, served: true, v: unanswered, want: true},
		"lost once too often":              {ctx: alive, served: true, losses: maxLosses - 1, v: unanswered},
		"421 often":                        {ctx: alive, served: true, losses: maxLosses, v: closing, want: true},
		"lost on a new one":                {ctx: alive, v: unanswered},
		"lost on a new one beside others":  {ctx: alive, others: 1, v: unanswered},
		"all sent, in a stream":            {ctx: alive, served: true, v: uncertain},
		"all sent, after a rest":           {ctx: alive, served: true, silent: true, v: evidence{uncertain: true, hungUp: true}, rested: true},
		"all sent, answered with nonsense": {ctx: alive, served: true, silent: true, v: uncertain},
		"cut for another":                  {ctx: dead, v: unanswered, want: true},
		"cut for another, all sent":        {ctx: dead, served: true, silent: true, v: uncertain},
		"closed for another":               {ctx: alive, spoiled: true, v: unanswered, want: true},
		"closed for another, all sent":     {ctx: alive, spoiled: true, v: uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := newRelay(t, nil, 20)
			s := newSession(r.pool, false)
			s.endpoint = &endpoint{}
			s.ctx, s.served, s.silent, s.spoiled = tt.ctx, tt.served, tt.silent, tt.spoiled
			results := []smtpclient.Result{{Err: lost(attempt.OpMail)}}
			out := completion{offer: &offer{losses: tt.losses}, results: results, evidence: tt.v}
			is.Equal(s.offersAgain(&out, tt.others > 0), tt.want)
			is.Equal(out.refused, tt.refused) // whether the error is about the number of connections
			is.Equal(out.rested, tt.rested)   // whether the message is to be offered again at once
		})
	}
}
