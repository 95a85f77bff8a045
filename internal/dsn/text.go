package dsn

import (
	"fmt"
	"mime/multipart"
	"time"
)

// writeText writes the first part: what there is to say, in words.
func (r *Report) writeText(parts *multipart.Writer, o *original) error {
	text := r.text(o)
	encoding := "7bit"
	if !isASCII(string(text)) {
		encoding = "8bit"
	}
	w, err := part(parts, "text/plain; charset=utf-8", encoding, "Notification")
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// text is the first part.
func (r *Report) text(o *original) []byte {
	b := paragraph(nil, "This is the mail spool on "+r.host()+", with news of this message of yours:")
	for _, f := range []struct{ name, value string }{{"Subject", cut(o.subject, 300)}, {"Date", o.date}, {"Message-ID", o.messageID}} {
		if f.value != "" {
			b = appendWrapped(b, "    "+f.name+": ", "        ", f.value)
		}
	}
	if !r.Arrival.IsZero() {
		b = appendWrapped(b, "    In the spool since: ", "        ", r.Arrival.Format(time.RFC1123Z))
	}
	b = append(b, "\r\n"...)
	for _, a := range []struct {
		Action
		heading string
	}{
		{Failed, "It was NOT delivered to the following, and is not tried any more:"},
		{Delayed, "It was not delivered YET to the following. It is still tried, and you need not send it again:"},
		{Relayed, "It was accepted for the following by a relay that does not report what becomes of it from there on:"},
	} {
		list := r.of(a.Action)
		if len(list) == 0 {
			continue
		}
		b = paragraph(b, a.heading)
		for _, rcpt := range list {
			b = rcpt.appendText(b)
		}
	}
	if r.Others > 0 {
		b = paragraph(b, fmt.Sprintf("This is not about the other recipients of the message, %d in number.", r.Others))
	}
	if kept := clean(r.Kept); kept != "" {
		b = paragraph(b, fmt.Sprintf("The message is not lost: it is kept on %s, in the spool, as %s (and %s.json says more). "+
			"Moved from there back into the spool it is tried again, for those who have not got it.", r.host(), kept, kept))
	}
	return b
}

func paragraph(b []byte, s string) []byte {
	return append(appendWrapped(b, "", "", s), "\r\n"...)
}

// appendText appends what has become of a recipient.
func (r *Recipient) appendText(b []byte) []byte {
	b = appendWrapped(b, "  ", "  ", r.address())
	why, quote := r.why()
	b = appendWrapped(b, "    ", "    ", why)
	if quote != "" {
		b = appendWrapped(b, "      ", "      ", quote)
	}
	if r.Action == Delayed && !r.Until.IsZero() {
		b = appendWrapped(b, "    ", "    ", "It is tried until "+r.Until.Format(time.RFC1123Z)+".")
	}
	return append(b, "\r\n"...)
}

// why says why in words, and what is to be quoted below.
func (r *Recipient) why() (why, quote string) {
	relay := cut(clean(r.Relay), 200)
	if relay == "" {
		relay = "The relay"
	}
	reply, reason := clean(r.Reply), clean(r.Reason)
	switch {
	case r.Action == Relayed:
		return relay + " has accepted it:", reply
	case r.Action == Failed && r.final() && reply != "":
		return relay + " has refused it for good:", reply
	case r.Action == Failed && r.final():
		return "It cannot be sent:", reason
	}
	tried := "No attempt has counted so far."
	switch {
	case r.Attempts > 0 && r.Last.IsZero():
		tried = fmt.Sprintf("It was tried %s.", times(r.Attempts))
	case r.Attempts > 0:
		tried = fmt.Sprintf("It was tried %s, the last time at %s.", times(r.Attempts), r.Last.Format(time.RFC1123Z))
	case r.Last.IsZero():
		tried = "It could not be handed to a relay."
	}
	switch {
	case reply != "":
		return tried + " " + relay + " says:", reply
	case reason != "":
		return tried + " The reason:", reason
	}
	return tried, ""
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
