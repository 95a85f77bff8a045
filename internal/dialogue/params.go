package dialogue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/unbit/spoolgore/internal/message"
)

// parsePath takes apart "FROM:<a@b> SIZE=1", or, as people write it, "FROM: a@b". A '>' or a blank inside a quoted local
// part is part of it. A source route (RFC 5321, appendix C) is left out.
func parsePath(arg, keyword string) (path string, params []string, err error) {
	malformed := &Refusal{501, "5.5.4", fmt.Errorf("want %s<address>", keyword)}
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", nil, malformed
	}
	rest, angle := strings.CutPrefix(strings.TrimLeft(arg[len(keyword):], " "), "<")
	end := pathEnd(rest, angle)
	if end < 0 || !angle && end == 0 {
		return "", nil, malformed
	}
	path, rest = rest[:end], rest[end:]
	if angle {
		rest = rest[1:]
	}
	if rest != "" && rest[0] != ' ' {
		return "", nil, malformed
	}
	if strings.HasPrefix(path, "@") {
		if _, path, _ = strings.Cut(path, ":"); path == "" {
			return "", nil, malformed
		}
	}
	return path, strings.Fields(rest), nil
}

// pathEnd returns where the path at the beginning of s ends; -1: it does not.
func pathEnd(s string, angle bool) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case angle && s[i] == '>', !angle && s[i] == ' ':
			return i
		}
	}
	if angle || quoted {
		return -1
	}
	return len(s)
}

func mailParams(env *message.Envelope, params []string, maxSize int64) error {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		var err error
		switch strings.ToUpper(name) {
		case "SIZE":
			n, bad := strconv.ParseUint(value, 10, 63)
			if bad == nil && maxSize > 0 && int64(n) > maxSize {
				return &Refusal{552, "5.3.4", fmt.Errorf("message too large: the limit is %d bytes", maxSize)}
			}
			err = bad
		case "BODY":
			if v := strings.ToUpper(value); v != "7BIT" && v != "8BITMIME" {
				err = errors.New("neither 7BIT nor 8BITMIME")
			}
		case "SMTPUTF8": // the daemon sees by itself what needs it
		case "RET":
			env.Ret = strings.ToUpper(value)
		case "ENVID":
			env.EnvID, err = xtext(value)
		default:
			return unknown(p)
		}
		if err != nil {
			return &Refusal{501, "5.5.4", fmt.Errorf("%q: %w", p, err)}
		}
	}
	return nil
}

func rcptParams(params []string) (notify, orcpt string, err error) {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		switch strings.ToUpper(name) {
		case "NOTIFY":
			notify = strings.ToUpper(value)
		case "ORCPT":
			if orcpt, err = xtext(value); err != nil {
				return "", "", &Refusal{501, "5.5.4", fmt.Errorf("%q: %w", p, err)}
			}
		default:
			return "", "", unknown(p)
		}
	}
	return notify, orcpt, nil
}

func unknown(param string) error {
	return &Refusal{555, "5.5.4", fmt.Errorf("unknown parameter %q", param)}
}

// xtext decodes the value of a parameter (RFC 3461, section 4).
func xtext(value string) (string, error) {
	var b strings.Builder
	for rest := value; rest != ""; {
		before, after, found := strings.Cut(rest, "+")
		b.WriteString(before)
		if !found {
			break
		}
		if len(after) < 2 {
			return "", errors.New("a + without two digits")
		}
		code, err := strconv.ParseUint(after[:2], 16, 8)
		if err != nil {
			return "", errors.New("a + without two digits")
		}
		b.WriteByte(byte(code))
		rest = after[2:]
	}
	return b.String(), nil
}
