package sendmail

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// A message has at most MaxTo recipients, counted after the aliases.
func TestNumberOfRecipientsIsLimited(t *testing.T) {
	from := "me@x.org"
	aliases := func(name string) (Alias, bool) {
		return Alias{Targets: []string{"a@x.org, b@x.org, c@x.org, d@x.org"}}, name == "team"
	}
	for to, ok := range map[string]bool{
		"a@x.org,b@x.org,c@x.org": true, "a@x.org,b@x.org,c@x.org,d@x.org": false, "team": false, "a@x.org,a@x.org,a@x.org,a@x.org": true,
	} {
		is := is.New(t)
		d := Defaults{Domain: "x.org", Login: "me", Aliases: aliases, MaxTo: 3, Now: time.Now()}
		_, err := New(Command{Sender: &from, Operands: []string{to}}, d, strings.NewReader("\nhello\n"))
		is.Equal(err == nil, ok)
		is.True(ok || errors.Is(err, ErrData))
	}
	is := is.New(t)
	d := Defaults{Domain: "x.org", MaxTo: 1, Now: time.Now()}
	_, err := d.Complete(message.Envelope{From: from, To: []string{"a@x.org", "b@x.org"}}, strings.NewReader("\nhello\n"))
	is.True(errors.Is(err, ErrData))
}
