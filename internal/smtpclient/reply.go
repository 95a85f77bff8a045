package smtpclient

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/textline"
)

// The limits for replies, in octets. RFC 5321 allows 512 octets for a line, and any number of lines.
const (
	maxLine  = 4 << 10
	maxReply = 64 << 10
	maxText  = 512 // limit for the text kept in status files and logs
)

// readReply reads one reply and calls each, if not nil, with the text of each line. A line is cut after maxLine octets.
// Blank lines before the reply are skipped. A reply longer than maxReply is an error. After an error the rest of the
// input is invalid.
func readReply(r *lineReader, each func(text string)) (attempt.Reply, error) {
	var reply attempt.Reply
	total := -r.cutOff
	for {
		raw, err := r.next()
		if err != nil {
			return attempt.Reply{}, fmt.Errorf("read a reply: %w", err)
		}
		if total += len(raw); total+r.cutOff > maxReply {
			return attempt.Reply{}, fmt.Errorf("a reply is longer than %d octets", maxReply)
		}
		line := r.hidden(strings.TrimSuffix(string(raw[:len(raw)-1]), "\r"))
		code, text, last, ok := splitLine(line)
		switch {
		case !ok && reply.Code != 0: // some relays begin only the first and the last line with the code
			code, text, last = reply.Code, line, false
		case isBlankLine(line):
			continue
		case !ok || reply.Code != 0 && reply.Code != code:
			return attempt.Reply{}, &badLineError{line[:min(len(line), 80)]}
		}
		if each != nil {
			each(text)
		}
		addLine(&reply, code, text)
		if last {
			return reply, nil
		}
	}
}

// isBlankLine reports whether a line between two replies says nothing: some relays send such a line after a reply.
func isBlankLine(line string) bool { return strings.Trim(line, " \t\r") == "" }

// badLineError is the error of a line that is no line of a reply.
type badLineError struct{ line string }

// Error implements error.
func (e *badLineError) Error() string { return fmt.Sprintf("bad reply line %q", e.line) }

// splitLine splits a reply line (RFC 5321, section 4.2) into code and text. last marks the last line of a reply.
func splitLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigits(line[1:3]) {
		return 0, "", false, false
	}
	code, _ = strconv.Atoi(line[:3])
	if len(line) == 3 { // no space after the code: section 4.2 asks clients to accept the line
		return code, "", true, true
	}
	return code, line[4:], line[3] == ' ', line[3] == ' ' || line[3] == '-'
}

// addLine appends a line to a reply. Some relays repeat the enhanced code on each line, others send the code only on
// the first line.
func addLine(r *attempt.Reply, code int, text string) {
	enhanced, rest := splitEnhanced(code, text)
	if r.Code == 0 {
		r.Enhanced = enhanced
	}
	if enhanced != "" && enhanced == r.Enhanced {
		text = rest
	}
	r.Code = code
	if text = clean(text); text == "" {
		return
	}
	if r.Text != "" && len(r.Text) < maxText {
		r.Text += " "
	}
	room := maxText - len(r.Text)
	r.Text += strings.ToValidUTF8(text[:min(len(text), room)], "")
}

// splitEnhanced splits an enhanced status code from the text. A code of another class than the reply is part of the
// text (RFC 2034, section 4).
func splitEnhanced(code int, text string) (enhanced, rest string) {
	enhanced, rest, _ = strings.Cut(text, " ")
	class, detail, _ := strings.Cut(enhanced, ".")
	subject, detail, ok := strings.Cut(detail, ".")
	if !ok || class != strconv.Itoa(code/100) || code/100 == 3 || !isNumber(subject) || !isNumber(detail) {
		return "", text
	}
	return enhanced, rest
}

func isNumber(s string) bool { return len(s) >= 1 && len(s) <= 3 && isDigits(s) }

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// clean makes text one line.
func clean(text string) string { return strings.TrimSpace(textline.Of(text, 0)) }
