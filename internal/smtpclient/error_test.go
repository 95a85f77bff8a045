package smtpclient

import (
	"io"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

func answer(op attempt.Op, code int, enhanced string) *Error {
	return &Error{Op: op, Reply: attempt.Reply{Code: code, Enhanced: enhanced}}
}

func lost(op attempt.Op) *Error { return &Error{Op: op, Err: io.EOF} }

func TestErrorOutcome(t *testing.T) {
	tests := []struct {
		name      string
		err       *Error
		whom      attempt.Fault
		permanent bool
	}{
		{"cannot connect", lost(attempt.OpDial), attempt.Relay, false},
		{"5yz greeting", answer(attempt.OpGreeting, 554, ""), attempt.Relay, false},
		{"5yz to EHLO", answer(attempt.OpEHLO, 550, ""), attempt.Relay, false},
		{"certificate", lost(attempt.OpTLS), attempt.Relay, false},
		{"wrong password", answer(attempt.OpAuth, 535, ""), attempt.Relay, false},
		{"421 to RCPT", answer(attempt.OpRcpt, 421, ""), attempt.Recipient, false},
		{"421 to the end of data", answer(attempt.OpEnd, 421, ""), attempt.Message, false},
		{"login wanted at MAIL", answer(attempt.OpMail, 530, ""), attempt.Relay, false},
		{"login wanted at RCPT", answer(attempt.OpRcpt, 538, ""), attempt.Relay, false},
		{"lost at MAIL", lost(attempt.OpMail), attempt.Relay, false},
		{"lost at MAIL, sent whole", &Error{Op: attempt.OpMail, Err: io.EOF, Uncertain: true}, attempt.Message, false},
		{"lost at RCPT", lost(attempt.OpRcpt), attempt.Message, false},
		{"lost in the content", lost(attempt.OpContent), attempt.Message, false},
		{"unreadable", &Error{Op: attempt.OpContent, Err: io.EOF, Source: true}, attempt.Message, false},
		{"4yz to MAIL", answer(attempt.OpMail, 451, ""), attempt.Message, false},
		{"5yz to MAIL", answer(attempt.OpMail, 550, ""), attempt.Message, true},
		{"4yz to RCPT", answer(attempt.OpRcpt, 450, ""), attempt.Recipient, false},
		{"5yz to RCPT", answer(attempt.OpRcpt, 550, ""), attempt.Recipient, true},
		{"5yz to DATA", answer(attempt.OpData, 554, ""), attempt.Message, true},
		{"4yz to the end of data", answer(attempt.OpEnd, 450, ""), attempt.Message, false},
		{"too large", lost(attempt.OpSize), attempt.Message, true},
		{"no SMTPUTF8", lost(attempt.OpUTF8), attempt.Message, true},
		{"8-bit and signed, no 8BITMIME", lost(attempt.OpEightBit), attempt.Message, true},
		{"8-bit, no 8BITMIME, unreadable", &Error{Op: attempt.OpEightBit, Err: io.EOF, Source: true}, attempt.Message, false},
		{"too many recipients", &Error{Op: attempt.OpRcpt, NotTried: true}, attempt.None, false},
		{"withdrawn", &Error{Op: attempt.OpMail, Err: io.EOF, NotTried: true}, attempt.None, false},
		{"sender no address", &Error{Op: attempt.OpMail, Err: ErrAddress}, attempt.Message, true},
		{"recipient no address", &Error{Op: attempt.OpRcpt, Err: ErrAddress}, attempt.Recipient, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			tt.err.LoggedIn = true
			o := tt.err.Outcome()
			is.Equal(o.Fault, tt.whom)               // party at fault
			is.Equal(o.Permanent, tt.permanent)      // whether a retry is pointless
			is.Equal(o.Op, tt.err.Op)                // the operation is kept
			is.Equal(o.Reply, tt.err.Reply.String()) //
			is.Equal(o.Uncertain, tt.err.Uncertain)  //
			is.True(o.Err != nil)                    // a failure has an error
			if tt.err.Err == nil {
				is.Equal(o.Err.Error(), tt.err.Reply.String()) // the reply
			}
		})
	}
}

func TestResultOutcome(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	ok := Result{Reply: attempt.Reply{Code: 250, Text: "queued"}, TLS: "TLS 1.3", DSN: true}
	// an acceptance has no error
	is.Equal(ok.Outcome(), attempt.Outcome{Code: ok.Reply.Code, Reply: ok.Reply.String(), TLS: "TLS 1.3", DSN: true})
	refused := Result{Err: answer(attempt.OpRcpt, 550, "5.1.1"), TLS: "TLS 1.2"}
	o := refused.Outcome()
	is.Equal(o.TLS, "TLS 1.2") // also for a refusal
	is.Equal(o.Code, 550)
	is.Equal(o.Fault, attempt.Recipient)
	is.Equal(o.Err.Error(), "550 5.1.1")
}
