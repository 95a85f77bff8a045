package smtpclient

import (
	"encoding/base64"
	"strings"
)

const (
	minSecret = 6     // octets; shorter secrets are words that occur in any text
	mask      = "***" // in place of a secret
)

// hide makes the reader replace secret and its base64 in replies from now on: replies go to log, status file and
// reports, and some relays repeat what they got.
func (r *lineReader) hide(secret string) {
	if len(secret) < minSecret {
		return
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	r.secrets = append(r.secrets, secret, encoded, strings.TrimRight(encoded, "="))
}

// hidden returns a line of a reply without the secrets.
func (r *lineReader) hidden(line string) string {
	for _, secret := range r.secrets {
		line = strings.ReplaceAll(line, secret, mask)
	}
	return line
}
