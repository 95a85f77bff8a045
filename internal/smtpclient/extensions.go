package smtpclient

import (
	"slices"
	"strconv"
	"strings"
	"unique"
)

// An extension is one line of the reply to EHLO. All connections share the strings.
type extension struct{ keyword, param string }

// newExtension parses a line of the reply to EHLO. Some servers write a tab for the space, and old servers write
// "AUTH=PLAIN".
func newExtension(line string) extension {
	line = strings.TrimSpace(strings.ReplaceAll(line, "\t", " "))
	keyword, param, _ := strings.Cut(line, " ")
	keyword = strings.ToUpper(keyword)
	if first, ok := strings.CutPrefix(keyword, "AUTH="); ok {
		keyword, param = "AUTH", first+" "+param
	}
	return extension{unique.Make(keyword).Value(), unique.Make(strings.TrimSpace(param)).Value()}
}

// hasParameters reports whether the extension adds parameters to MAIL or RCPT.
func (e extension) hasParameters() bool {
	return slices.Contains([]string{"SIZE", "8BITMIME", "SMTPUTF8", "DSN"}, e.keyword)
}

// extensions are the extensions that a relay offers, in the order of the relay.
type extensions []extension

// lookup returns the parameters of an extension, and reports whether the relay offers the extension.
func (e extensions) lookup(name string) (param string, ok bool) {
	for i := range e {
		if strings.EqualFold(e[i].keyword, name) {
			return e[i].param, true
		}
	}
	return "", false
}

// all returns the words of the parameters of all lines with a keyword, in upper case: some relays send several lines.
func (e extensions) all(name string) (words []string) {
	for i := range e {
		if e[i].keyword == name {
			words = append(words, strings.Fields(strings.ToUpper(e[i].param))...)
		}
	}
	return words
}

// has reports whether the relay offers an extension.
func (e extensions) has(name string) bool {
	_, ok := e.lookup(name)
	return ok
}

// lines returns the extensions as sent by the relay, without control characters.
func (e extensions) lines() (lines []string) {
	for _, ext := range e {
		lines = append(lines, strings.TrimSpace(clean(ext.keyword)+" "+clean(ext.param)))
	}
	return lines
}

// maxSize returns the largest message size the relay accepts (RFC 1870), or zero if the relay states no size.
func (e extensions) maxSize() int64 {
	param, _ := e.lookup("SIZE")
	limit, err := strconv.ParseInt(param, 10, 64)
	if err != nil {
		return 0
	}
	return limit
}

// encodeAddress returns an address as sent to the relay. Without SMTPUTF8, a domain is sent as A-labels (RFC 5890); ok
// is false if the local part needs SMTPUTF8, too.
func (e extensions) encodeAddress(addr string) (encoded string, ok bool) {
	if isASCII(addr) || e.has("SMTPUTF8") {
		return addr, true
	}
	return withALabels(addr)
}
