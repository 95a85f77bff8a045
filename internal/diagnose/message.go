package diagnose

import (
	"errors"
	"strings"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// about reports whether the enhanced code has a subject: "1" address, "2" mailbox, "3" mail system, "6" content, "7"
// policy (RFC 3463, section 3).
func (f Failure) about(subject string) bool {
	_, detail, _ := strings.Cut(f.Enhanced, ".")
	return strings.HasPrefix(detail, subject+".")
}

// Sentences of several advices.
const (
	byItself = "Nothing. The spool tries again by itself."
	lost     = "The connection was lost before the relay had answered."
	tooLarge = "The message is larger than the relay takes."
	smaller  = "Send the content in parts, send a link instead, or use a relay with a higher limit."
	correct  = "Correct the address in the message, and move the message back into the spool."
)

// login advises on a relay that requires a login.
func (f Failure) login() (Advice, bool) {
	switch f.Code {
	case 530, 534, 535, 538:
		return Advice{"The relay wants a login, or another login.", "Set -smtpuser and a password, with TLS."}, true
	}
	return Advice{}, false
}

// mail advises on a refused MAIL.
func (f Failure) mail() Advice {
	if a, ok := f.login(); ok {
		return a
	}
	switch {
	case f.Code == 552, f.Enhanced == "5.3.4":
		return Advice{tooLarge, smaller}
	case f.Code/100 == 4:
		return Advice{"The relay does not take mail from this sender now.", byItself}
	case f.Code/100 == 5:
		return Advice{"The relay does not take mail from this sender.",
			"Send from an address of your account at the relay, or log in as the owner of the address. " +
				"A relays file sets a relay and a login for each sender."}
	case errors.Is(f.Err, smtpclient.ErrAddress):
		return Advice{"The sender is not an address.", correct}
	}
	return Advice{lost, byItself}
}

// rcpt advises on a refused RCPT.
func (f Failure) rcpt() Advice {
	if a, ok := f.login(); ok {
		return a
	}
	permanent := f.Code/100 == 5
	switch {
	case errors.Is(f.Err, smtpclient.ErrAddress):
		return Advice{"The recipient is not an address.", correct}
	case f.Code == 0:
		return Advice{lost, byItself}
	case f.Enhanced == "4.5.3", f.Enhanced == "5.5.3":
		return Advice{"The relay takes no more recipients in one transaction.",
			"Nothing. The other recipients follow in the next transaction."}
	case f.about("2") && permanent, f.Code == 552:
		return Advice{"The mailbox is full or closed.", "Reach the recipient in another way."}
	case f.about("1") && permanent, f.Code == 551, f.Code == 553:
		return Advice{"There is no such recipient.", correct}
	case f.about("7") && permanent, f.Code == 554:
		return Advice{"The relay does not take mail for this recipient from you.",
			"Most relays require a login for mail to other domains: set -smtpuser. " +
				"Otherwise ask the relay's administrator about rules for senders and recipients."}
	case permanent:
		return Advice{"The relay refuses this recipient: the address is wrong, or the relay requires a login.",
			"Check the address. If the relay requires a login, set -smtpuser."}
	case f.Code == 452, f.about("2"):
		return Advice{"The mailbox is full or busy.", byItself}
	}
	return Advice{"The relay does not take mail for this recipient yet. " +
		"Many relays defer unknown senders for some minutes (greylisting).", byItself}
}

// content advises on a message refused after MAIL and RCPT.
func (f Failure) content() Advice {
	if a, ok := f.login(); ok {
		return a
	}
	permanent := f.Code/100 == 5
	switch {
	case f.Uncertain:
		return Advice{"The message was sent completely, but the reply was lost: the relay may have it.",
			"Nothing. The spool tries again. The message may arrive twice."}
	case f.Code == 0:
		return Advice{"The connection was lost in the middle of the message.", byItself}
	case f.Code == 552, f.Enhanced == "5.3.4", f.Enhanced == "5.2.3":
		return Advice{tooLarge, smaller}
	case permanent && f.about("6"):
		return Advice{"The relay finds the message malformed.",
			"Correct the fault that the reply names. spoolgore explain FILE shows the message as sent."}
	case permanent:
		return Advice{"The relay does not take this message, because of its content or by its rules about senders.",
			"Read the reply. Often the relay requires a sender domain with SPF or DKIM, or takes the text for spam."}
	}
	return Advice{"The relay does not take this message now.", byItself}
}
