package smtpclient

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// The limits for replies. RFC 5321 has 512 octets for a line and no limit for the number of lines.
const (
	maxLine  = 4 << 10
	maxReply = 64 << 10
	maxText  = 4 << 10 // as much as is kept: the text ends up in status files and logs
)

// Reply is the answer of a relay; zero: none.
type Reply struct {
	Code     int    // such as 550
	Enhanced string // enhanced status code (RFC 2034), such as "5.1.1"; "" for none
	Text     string // its lines joined by spaces, without the codes, as valid UTF-8 without control characters; cut at 4 KiB
}

// String returns the reply as one line, such as "550 5.1.1 no such user"; "" for no reply.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	text := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		text += " " + r.Enhanced
	}
	if r.Text != "" {
		text += " " + r.Text
	}
	return text
}

// readReply reads one reply, which may have many lines, and hands the text of each to each, if that is not nil. There
// are limits for a line and, maxReply, for the whole. After an error the rest of the input makes no sense.
func readReply(r *lineReader, each func(text string)) (Reply, error) {
	var reply Reply
	total := 0
	for {
		raw, err := r.next()
		if err != nil {
			return Reply{}, fmt.Errorf("read a reply: %w", err)
		}
		if total += len(raw); total > maxReply {
			return Reply{}, fmt.Errorf("a reply is longer than %d octets", maxReply)
		}
		line := strings.TrimSuffix(string(raw[:len(raw)-1]), "\r")
		code, text, last, ok := splitLine(line)
		if !ok || reply.Code != 0 && reply.Code != code {
			return Reply{}, fmt.Errorf("bad reply line %q", line[:min(len(line), 80)])
		}
		if each != nil {
			each(text)
		}
		reply.add(code, text)
		if last {
			return reply, nil
		}
	}
}

// splitLine parts a reply line (RFC 5321, section 4.2) from its code.
func splitLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigits(line[1:3]) {
		return 0, "", false, false
	}
	code, _ = strconv.Atoi(line[:3])
	if len(line) == 3 { // without even a space: section 4.2 asks clients to take it
		return code, "", true, true
	}
	return code, line[4:], line[3] == ' ', line[3] == ' ' || line[3] == '-'
}

// add adds a line. The enhanced code is in each line of a reply, or in the first one only.
func (r *Reply) add(code int, text string) {
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

// splitEnhanced parts an enhanced status code from the text after it. One of another class than the reply is none
// (RFC 2034, section 4).
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

// clean makes text fit for a log line.
func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
}
