package dsn

import (
	"fmt"
	"mime/multipart"
	"time"
)

// writeText writes the first part, the text for people.
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
	b := paragraph(nil, "This is a report of the mail spool on "+r.host()+" about your message:")
	for _, f := range []struct{ name, value string }{
		{"Subject", cut(o.subject, 300)}, {"Date", o.date}, {"Message-ID", o.messageID},
	} {
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
		{Failed, "The message was NOT delivered to these recipients, and there will be no more attempts:"},
		{Delayed, "The message is NOT YET delivered to these recipients. Attempts go on; do not send it again:"},
		{Relayed, "A relay accepted the message for these recipients. The relay will not report on the delivery:"},
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
		b = paragraph(b, fmt.Sprintf("Other recipients of the message, not in this report: %d.", r.Others))
	}
	if kept := clean(r.Kept); kept != "" {
		b = paragraph(b, fmt.Sprintf("The message is not lost: the spool on %s keeps it as %s, with details in "+
			"%s.json. Move the file back into the spool to send the message to these recipients again.",
			r.host(), kept, kept))
	}
	return b
}

func paragraph(b []byte, s string) []byte {
	return append(appendWrapped(b, "", "", s), "\r\n"...)
}

// appendText appends the text about a recipient.
func (r *Recipient) appendText(b []byte) []byte {
	b = appendWrapped(b, "  ", "  ", r.address())
	why, quote := r.why()
	b = appendWrapped(b, "    ", "    ", why)
	if quote != "" {
		b = appendWrapped(b, "      ", "      ", quote)
	}
	if r.Action == Delayed && !r.Until.IsZero() {
		b = appendWrapped(b, "    ", "    ", "Attempts end at "+r.Until.Format(time.RFC1123Z)+".")
	}
	return append(b, "\r\n"...)
}

// why returns the reason as a sentence, and the reply or reason to quote below the sentence.
func (r *Recipient) why() (why, quote string) {
	relay := cut(clean(r.Relay), 200)
	if relay == "" {
		relay = "The relay"
	}
	reply, reason := clean(r.Reply), clean(r.Reason)
	switch {
	case r.Action == Relayed:
		return relay + " accepted the message:", reply
	case r.Action == Failed && r.final() && reply != "":
		return relay + " refused the message permanently:", reply
	case r.Action == Failed && r.final():
		return "The message cannot be sent:", reason
	}
	tried := "No attempt has counted so far."
	switch {
	case r.Attempts > 0 && r.Last.IsZero():
		tried = attempts(r.Attempts) + "."
	case r.Attempts > 0:
		tried = attempts(r.Attempts) + ", the last at " + r.Last.Format(time.RFC1123Z) + "."
	case r.Last.IsZero():
		tried = "No relay could be reached."
	}
	switch {
	case reply != "":
		return tried + " " + relay + " says:", reply
	case reason != "":
		return tried + " The reason:", reason
	}
	return tried, ""
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt was made"
	}
	return fmt.Sprintf("%d attempts were made", n)
}
