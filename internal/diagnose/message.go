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

const byItself = "Nothing, it is tried again by itself."

// login advises on a relay that requires a login.
func (f Failure) login() (Advice, bool) {
	switch f.Code {
	case 530, 534, 535, 538:
		return Advice{"The relay wants a login, or another one.", "Give it a user (-smtpuser) and a password, over TLS."}, true
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
		return Advice{"The message is larger than the relay takes.", "Send it in parts or leave the file somewhere, or use a relay that takes more."}
	case f.Code/100 == 4:
		return Advice{"The relay does not take mail from this sender now.", byItself}
	case f.Code/100 == 5:
		return Advice{"The relay does not take mail from this sender.", "Send from an address that the relay knows as yours, or log in as its owner. A relays file gives each sender its relay and login."}
	case errors.Is(f.Err, smtpclient.ErrAddress):
		return Advice{"The sender is not an address.", "Correct it in the message, and move it back into the spool."}
	}
	return Advice{"The connection was lost before the relay had answered.", byItself}
}

// rcpt advises on a refused RCPT.
func (f Failure) rcpt() Advice {
	if a, ok := f.login(); ok {
		return a
	}
	permanent := f.Code/100 == 5
	switch {
	case errors.Is(f.Err, smtpclient.ErrAddress):
		return Advice{"The recipient is not an address.", "Correct it in the message, and move it back into the spool."}
	case f.Code == 0:
		return Advice{"The connection was lost before the relay had answered.", byItself}
	case f.Enhanced == "4.5.3", f.Enhanced == "5.5.3":
		return Advice{"The relay takes no more recipients in one go.", "Nothing, the others follow."}
	case f.about("2") && permanent, f.Code == 552:
		return Advice{"The mailbox is full or closed.", "Write to the recipient in another way."}
	case f.about("1") && permanent, f.Code == 551, f.Code == 553:
		return Advice{"There is no such recipient.", "Correct the address: in the message, which then goes back into the spool, or where it came from."}
	case f.about("7") && permanent, f.Code == 554:
		return Advice{"The relay does not take mail for this recipient from you.", "Most relays do for those only who log in: -smtpuser. Else it has rules about senders and recipients: ask who runs it."}
	case permanent:
		return Advice{"The relay refuses this recipient: the address is wrong, or the relay takes mail for others only from those who log in.",
			"Check the address, and whether the relay wants a login (-smtpuser)."}
	case f.Code == 452, f.about("2"):
		return Advice{"The mailbox is full or busy.", byItself}
	}
	return Advice{"The relay does not take mail for this recipient yet. Many put off whom they do not know for some minutes (greylisting).", byItself}
}

// content advises on a message refused after MAIL and RCPT.
func (f Failure) content() Advice {
	if a, ok := f.login(); ok {
		return a
	}
	permanent := f.Code/100 == 5
	switch {
	case f.Uncertain:
		return Advice{"The message was sent to its end and the answer did not come: the relay may have it.", "Nothing, it is tried again. It may arrive twice."}
	case f.Code == 0:
		return Advice{"The connection was lost in the middle of the message.", byItself}
	case f.Code == 552, f.Enhanced == "5.3.4", f.Enhanced == "5.2.3":
		return Advice{"The message is larger than the relay takes.", "Send it in parts or leave the file somewhere, or use a relay that takes more."}
	case permanent && f.about("6"):
		return Advice{"The relay finds the message malformed.", "Correct what it names. spoolgore explain FILE says what of a file is sent."}
	case permanent:
		return Advice{"The relay does not take this message: for what is in it, or by its rules about senders.",
			"Its answer says more. Often it wants a sender in a domain with SPF or DKIM, or takes the text for unwanted mail."}
	}
	return Advice{"The relay does not take this message now.", byItself}
}
