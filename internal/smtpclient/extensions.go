package smtpclient

import (
	"strconv"
	"strings"
	"unique"
)

// An extension is one line of the reply to EHLO. All connections share the strings.
type extension struct{ keyword, param string }

func newExtension(line string) extension {
	keyword, param, _ := strings.Cut(line, " ")
	return extension{unique.Make(strings.ToUpper(keyword)).Value(), unique.Make(strings.TrimSpace(param)).Value()}
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
