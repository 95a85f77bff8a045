package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The top block: fields at the very top of a file that are its envelope. Programs that write for a pickup directory
// (.NET, IIS, Exchange, PowerMTA) put X-Sender and one X-Receiver for each recipient there. Exchange adds others.

// Fields of the top block. Those of Spoolgore hold a time, a time, and a number.
const (
	senderField    = "X-Sender"
	receiverField  = "X-Receiver"
	expireField    = "X-Spoolgore-Expire"
	notBeforeField = "X-Spoolgore-NotBefore"
	priorityField  = "X-Spoolgore-Priority"
)

// exchangeFields may stand between them in Exchange's replay directory. They are not used.
var exchangeFields = []string{
	"X-CreatedBy", "X-EndOfInjectedXHeaders", "X-ExtendedMessageProps", "X-HeloDomain", "X-Source", "X-SourceIPAddress",
}

// topBlock returns the end of the top block at offset at of raw; at: there is none. Fields of these names are a top
// block only if an X-Receiver or a field of Spoolgore is among them: some programs write X-Sender for people to read.
// topBlock returns false if the block may go on behind raw.
func topBlock(raw []byte, at int, whole bool) (end int, ok bool) {
	end, believed := at, false
	for end < len(raw) {
		line, next, complete := cutLine(raw, end, whole)
		if !complete {
			return at, false
		}
		name := string(line[:fieldName(line)])
		switch {
		case isAnyOf(name, receiverField, expireField, notBeforeField, priorityField):
			believed = true
		case isAnyOf(name, senderField) || isAnyOf(name, exchangeFields...):
		case end > at && isContinuation(line):
		default:
			if !believed {
				end = at
			}
			return end, true
		}
		end = next
	}
	if !believed {
		end = at
	}
	return end, whole
}

func isAnyOf(name string, names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// topEnvelope returns the envelope in the top block. Its From is the sender of the header, and its To is empty, if the
// block names no sender or no recipient. Durations in the block count from arrived.
func (h *Header) topEnvelope(arrived time.Time) (*Envelope, error) {
	env := &Envelope{}
	sender := false
	for _, f := range h.block {
		value := f.value()
		var err error
		switch {
		case f.is(receiverField):
			env.addReceiver(value)
		case f.is(senderField) && !sender:
			sender = true
			env.setSender(value)
		case f.is(expireField):
			env.Expire, err = ParseTime(value, arrived)
		case f.is(notBeforeField):
			env.NotBefore, err = ParseTime(value, arrived)
		case f.is(priorityField):
			env.Priority, err = strconv.Atoi(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", f.text[:f.name], printable(value), errors.Unwrap(err))
		}
	}
	if !sender {
		env.From, _ = h.sender()
	}
	env.Notify, env.ORcpt = anyOf(env.Notify), anyOf(env.ORcpt)
	return env, env.checkWishes()
}

// anyOf returns nil for a list of empty texts.
func anyOf(list []string) []string {
	if strings.Join(list, "") == "" {
		return nil
	}
	return list
}

// addReceiver adds the recipients in the value of an X-Receiver field, usually one. Parameters of RCPT may follow.
func (e *Envelope) addReceiver(value string) {
	list, params := cutParameters(value)
	var notify, orcpt string
	if n := strings.ToUpper(params["NOTIFY"]); isNotify(n) {
		notify = n
	}
	if o := params["ORCPT"]; isORcpt(o) && strings.Contains(o, ";") {
		orcpt = o
	}
	for _, a := range parseList(list) {
		e.To = append(e.To, a.Addr)
		e.Notify, e.ORcpt = append(e.Notify, notify), append(e.ORcpt, orcpt)
	}
}

// setSender sets the sender to the value of an X-Sender field. Parameters of MAIL may follow.
func (e *Envelope) setSender(value string) {
	list, params := cutParameters(value)
	if ret := strings.ToUpper(params["RET"]); ret == "FULL" || ret == "HDRS" {
		e.Ret = ret
	}
	if id := params["ENVID"]; len(id) <= maxEnvID && isPrintASCII(id) {
		e.EnvID = id
	}
	if strings.Join(strings.Fields(list), "") == "<>" {
		return
	}
	for _, a := range parseList(list) {
		if e.From = a.Addr; a.Err == nil {
			return
		}
	}
}

// cutParameters cuts the parameters of MAIL and RCPT off an address. The names of the parameters are in upper case.
// Text behind a separator of a list is an address, such as bounce=ann@example.org.
func cutParameters(value string) (address string, params map[string]string) {
	params = map[string]string{}
	for {
		rest := strings.TrimRight(value, blanks)
		at := strings.LastIndexAny(rest, blanks)
		key, param, found := strings.Cut(rest[at+1:], "=")
		before := strings.TrimRight(rest[:max(at, 0)], blanks)
		if before == "" || strings.ContainsAny(before[len(before)-1:], ",;") || !found || !isKeyword(key) {
			return rest, params
		}
		params[strings.ToUpper(key)], value = param, rest[:at]
	}
}

// isKeyword reports whether s is a keyword of a parameter (RFC 5321, section 4.1.2).
func isKeyword(s string) bool {
	isOther := func(r rune) bool { return notInLabel(r) || r >= utf8.RuneSelf || r == '_' }
	return s != "" && strings.IndexFunc(s, isOther) < 0
}

// ParseTime reads a time of RFC 3339, or a duration that counts from now, such as 90s, 10m, 36h or 5d. The cause of an
// error says what is wrong, not with which text.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, strings.ToUpper(s)); err == nil {
		return t, nil
	}
	const most = 36500 // a hundred years
	days, isDays := strings.CutSuffix(s, "d")
	if n, err := strconv.Atoi(days); isDays && err == nil && n >= 0 && n <= most {
		return now.Add(time.Duration(n) * 24 * time.Hour).Round(0), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q: %w", printable(s), errTime)
	}
	return now.Add(d).Round(0), nil
}

var errTime = errors.New("neither a time such as 2030-12-31T23:59:00Z nor a duration such as 10m, 36h or 5d")
