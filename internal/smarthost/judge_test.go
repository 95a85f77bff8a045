package smarthost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

func answer(op smtpclient.Op, code int, enhanced string) *smtpclient.Error {
	return &smtpclient.Error{Op: op, Reply: smtpclient.Reply{Code: code, Enhanced: enhanced}}
}

func lost(op smtpclient.Op) *smtpclient.Error { return &smtpclient.Error{Op: op, Err: io.EOF} }

func TestJudge(t *testing.T) {
	tests := []struct {
		name      string
		err       *smtpclient.Error
		whom      Blame
		permanent bool
	}{
		{"cannot connect", lost(OpDial), TheRelay, false},
		{"5yz greeting", answer(smtpclient.OpGreeting, 554, ""), TheRelay, false},
		{"5yz to EHLO", answer(smtpclient.OpEHLO, 550, ""), TheRelay, false},
		{"certificate", lost(smtpclient.OpTLS), TheRelay, false},
		{"wrong password", answer(smtpclient.OpAuth, 535, ""), TheRelay, false},
		{"421 to RCPT", answer(smtpclient.OpRcpt, 421, ""), TheRelay, false},
		{"421 to the end of data", answer(smtpclient.OpEnd, 421, ""), TheRelay, false},
		{"login wanted at MAIL", answer(smtpclient.OpMail, 530, ""), TheRelay, false},
		{"login wanted at RCPT", answer(smtpclient.OpRcpt, 538, ""), TheRelay, false},
		{"lost at MAIL", lost(smtpclient.OpMail), TheRelay, false},
		{"lost at MAIL, sent whole", &smtpclient.Error{Op: smtpclient.OpMail, Err: io.EOF, Uncertain: true}, Message, false},
		{"lost at RCPT", lost(smtpclient.OpRcpt), Message, false},
		{"lost in the content", lost(smtpclient.OpContent), Message, false},
		{"unreadable", &smtpclient.Error{Op: smtpclient.OpContent, Err: io.EOF, Source: true}, Message, false},
		{"4yz to MAIL", answer(smtpclient.OpMail, 451, ""), Message, false},
		{"5yz to MAIL", answer(smtpclient.OpMail, 550, ""), Message, true},
		{"4yz to RCPT", answer(smtpclient.OpRcpt, 450, ""), Recipient, false},
		{"5yz to RCPT", answer(smtpclient.OpRcpt, 550, ""), Recipient, true},
		{"5yz to DATA", answer(smtpclient.OpData, 554, ""), Message, true},
		{"4yz to the end of data", answer(smtpclient.OpEnd, 450, ""), Message, false},
		{"too large", lost(smtpclient.OpSize), Message, true},
		{"no SMTPUTF8", lost(smtpclient.OpUTF8), Message, true},
		{"8-bit and signed, no 8BITMIME", lost(smtpclient.OpEightBit), Message, true},
		{"8-bit, no 8BITMIME, unreadable", &smtpclient.Error{Op: smtpclient.OpEightBit, Err: io.EOF, Source: true}, Message, false},
		{"too many recipients", &smtpclient.Error{Op: smtpclient.OpRcpt, NotTried: true}, Nobody, false},
		{"withdrawn", &smtpclient.Error{Op: smtpclient.OpMail, Err: io.EOF, NotTried: true}, Nobody, false},
		{"sender no address", &smtpclient.Error{Op: smtpclient.OpMail, Err: smtpclient.ErrAddress}, Message, true},
		{"recipient no address", &smtpclient.Error{Op: smtpclient.OpRcpt, Err: smtpclient.ErrAddress}, Recipient, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			whom, permanent := Judge(tt.err)
			is.Equal(whom, tt.whom)           // whose fault it is
			is.Equal(permanent, tt.permanent) // whether another try is pointless
		})
	}
}

func TestTooFastCodes(t *testing.T) {
	for _, tt := range []struct {
		code     int
		enhanced string
		want     bool
	}{
		{421, "4.7.0", true}, {421, "4.3.2", true}, {450, "4.7.1", true}, {451, "4.7.66", true}, {452, "4.3.2", true},
		{421, "", false}, {450, "4.2.1", false}, {452, "4.5.3", false}, {451, "4.3.20", false}, {452, "4.70.1", false},
		{454, "4.7.0", false}, {550, "5.7.1", false}, {0, "", false},
	} {
		t.Run(fmt.Sprint(tt.code, " ", tt.enhanced), func(t *testing.T) {
			is := is.New(t)
			is.Equal(TooFast(answer(smtpclient.OpMail, tt.code, tt.enhanced)), tt.want)
		})
	}
}

func TestWeigh(t *testing.T) {
	timeout := &smtpclient.Error{Op: smtpclient.OpMail, Err: fmt.Errorf("nothing: %w", os.ErrDeadlineExceeded)}
	noAddress := &smtpclient.Error{Op: smtpclient.OpMail, Err: smtpclient.ErrAddress}
	uncertain := &smtpclient.Error{Op: smtpclient.OpMail, Err: io.EOF, Uncertain: true}
	for name, tt := range map[string]struct {
		errs []*smtpclient.Error
		want verdict
	}{
		"accepted":              {[]*smtpclient.Error{nil}, verdict{accepted: true, answered: true}},
		"accepted in part":      {[]*smtpclient.Error{nil, answer(smtpclient.OpRcpt, 550, "")}, verdict{accepted: true, answered: true}},
		"refused":               {[]*smtpclient.Error{answer(smtpclient.OpMail, 550, "")}, verdict{answered: true}},
		"421 at MAIL":           {[]*smtpclient.Error{answer(smtpclient.OpMail, 421, "")}, verdict{closing: true, unheard: true}},
		"421 at DATA":           {[]*smtpclient.Error{answer(smtpclient.OpData, 421, "")}, verdict{closing: true, unheard: true}},
		"421 at the end":        {[]*smtpclient.Error{answer(smtpclient.OpEnd, 421, "")}, verdict{closing: true}},
		"421, another 550":      {[]*smtpclient.Error{answer(smtpclient.OpRcpt, 550, ""), answer(smtpclient.OpRcpt, 421, "")}, verdict{closing: true, answered: true}},
		"421, too fast":         {[]*smtpclient.Error{answer(smtpclient.OpRcpt, 421, "4.7.0")}, verdict{closing: true, tooFast: true, unheard: true}},
		"too fast":              {[]*smtpclient.Error{answer(smtpclient.OpEnd, 451, "4.7.1")}, verdict{answered: true, tooFast: true}},
		"too fast at RCPT":      {[]*smtpclient.Error{answer(smtpclient.OpRcpt, 450, "4.7.1")}, verdict{answered: true, tooFast: true, recipient: true}},
		"lost at MAIL":          {[]*smtpclient.Error{lost(smtpclient.OpMail)}, verdict{unheard: true, hungUp: true}},
		"lost at MAIL, all out": {[]*smtpclient.Error{uncertain}, verdict{unheard: true, hungUp: true, uncertain: true}},
		"lost at RCPT":          {[]*smtpclient.Error{lost(smtpclient.OpRcpt)}, verdict{hungUp: true}},
		"time-out":              {[]*smtpclient.Error{timeout}, verdict{timeout: true}},
		"no address":            {[]*smtpclient.Error{noAddress}, verdict{}},
		"unreadable":            {[]*smtpclient.Error{{Op: smtpclient.OpMail, Err: io.ErrUnexpectedEOF, Source: true}}, verdict{source: true}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			results := make([]smtpclient.Result, len(tt.errs))
			for i, err := range tt.errs {
				results[i].Err = err
			}
			is.Equal(weigh(results), tt.want)
		})
	}
}

func TestAgain(t *testing.T) {
	alive, dead := t.Context(), func() context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("cut"))
		return ctx
	}()
	closing, unanswered, uncertain := verdict{closing: true}, verdict{}, verdict{uncertain: true}
	for name, tt := range map[string]struct {
		ctx                     context.Context
		served, silent, spoiled bool
		others, losses          int
		v                       verdict
		want, refused           bool
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
		"all sent, after a rest":           {ctx: alive, served: true, silent: true, v: verdict{uncertain: true, hungUp: true}, want: true},
		"all sent, answered with nonsense": {ctx: alive, served: true, silent: true, v: uncertain},
		"cut for another":                  {ctx: dead, v: unanswered, want: true},
		"cut for another, all sent":        {ctx: dead, served: true, silent: true, v: uncertain},
		"closed for another":               {ctx: alive, spoiled: true, v: unanswered, want: true},
		"closed for another, all sent":     {ctx: alive, spoiled: true, v: uncertain},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := newRelay(t, nil, 20)
			s := newSession(r, false)
			s.ctx, s.served, s.silent, s.spoiled = tt.ctx, tt.served, tt.silent, tt.spoiled
			for range tt.others {
				r.sessions[newSession(r, false)] = struct{}{}
			}
			out := outcome{offer: &offer{losses: tt.losses}, verdict: tt.v}
			is.Equal(s.again(&out), tt.want)
			is.Equal(out.refused, tt.refused) // whether it tells how many connections the relay bears
			clear(r.sessions)
		})
	}
}
