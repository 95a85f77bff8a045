package fleet

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// In a database without UTF-8, a message has a Message-ID that is no text in any encoding, and a reply has letters that the
// database does not have. All outcomes are recorded.
func TestOutcomesInAnotherEncoding(t *testing.T) {
	is := is.New(t)
	conn, err := pgx.Connect(t.Context(), shared.DB(t))
	is.NoErr(err)
	defer conn.Close(t.Context())
	for _, x := range [][2]string{{"SQL_ASCII", ""}, {"LATIN1", ""}, {"LATIN1", "&client_encoding=UTF8"}} {
		encoding, setting := x[0], x[1]
		name := "outcomes_" + strings.ToLower(encoding) + fmt.Sprint(len(setting))
		_, err = conn.Exec(t.Context(), fmt.Sprintf(
			`CREATE DATABASE %s ENCODING '%s' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`, name, encoding))
		is.NoErr(err)
		reason := "позже"
		if setting != "" { // the server converts, and LATIN1 has no such letters
			reason = "?????"
		}
		q := open(t, Options{DB: shared.Server(t).URL(name) + setting, Lease: childLease})
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && strings.Contains(arg, "later@") {
				return "450 4.2.0 позже \u2028 \xff"
			}
			return ""
		}}
		for _, user := range []string{"b", "later", "c"} {
			put(t, q, spoolgore.Envelope{From: "a@example.com", To: []string{user + "@example.org"}},
				strings.ReplaceAll(mail(user), "<"+user, "<\xe9\xffx"))
		}
		work(t, q, options(relay))
		eventually(t, "outcomes are recorded", func() bool {
			all, err := q.store.List(t.Context(), listAll)
			is.NoErr(err)
			return len(all) == 1 && strings.Contains(all[0].Reason, "450 4.2.0 "+reason)
		})
	}
}
