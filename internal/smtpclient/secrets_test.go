package smtpclient

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Some relays repeat the refused command or the data of the account. Replies go to log, status file and reports.
func TestRepliesRepeatNoCredentials(t *testing.T) {
	const password = "Pa55-of-the-shop"
	encoded := base64.StdEncoding.EncodeToString([]byte(password))
	echo := password + " " + encoded + " " + base64.StdEncoding.EncodeToString([]byte("\x00ann\x00"+password))
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		for _, refused := range []string{"AUTH", "MAIL", "RCPT", "DATA", "MAIL bad line"} {
			t.Run(mech+" "+refused, func(t *testing.T) {
				is := is.New(t)
				answer := "550 5.7.1 no " + echo
				if verb, _, bad := strings.Cut(refused, " "); bad {
					refused, answer = verb, "no reply "+echo
				}
				steps := 0
				r := &smtptest.Relay{Ext: []string{"AUTH " + mech}, Reply: func(verb, arg string) string {
					if verb == refused {
						return answer
					}
					if verb == "AUTH" || len(arg) == 0 && strings.ContainsAny(verb, "=0123456789") {
						if steps++; mech == "LOGIN" && steps < 3 {
							return "334 VXNlcjo="
						}
						return "235 ok"
					}
					return ""
				}}
				cr := Credentials{User: "ann", Password: fixed(password), Mechanism: mech}
				c, err := open(t.Context(), r, local, Config{Auth: cr.Auth()})
				if err == nil {
					err = c.Transact(t.Context(), letter("a@x.test"))[0].Err
				}
				is.True(err != nil)
				for word := range strings.FieldsSeq(echo) {
					is.True(!strings.Contains(err.Error(), word))
				}
			})
		}
	}
}
