package message

import (
	"testing"

	"github.com/jhillyerd/enmime/v2"
	"github.com/matryer/is"
)

// A plain address is a list with one address, which the full parser reads in the same way.
func TestPlainAddress(t *testing.T) {
	is := is.New(t)
	for s, plain := range map[string]bool{
		"a@x": true, "ann.doe+tag@mail-1.example.org": true, "A_b@X.ORG": true, "-@-": true,
		"": false, "@": false, "a": false, "a@": false, "@x": false, "a@b@x": false, ".a@x": false, "a.@x": false,
		"a..b@x": false, "a@.x": false, "a@x.": false, "a@x..y": false, "<a@x>": false, "a@x,b@y": false, " a@x": false,
		"a @x": false, `"a"@x`: false, "a@[1.2.3.4]": false, "ä@x": false, "a@x;": false, "a:b@x": false, "a?b@x": false,
	} {
		is.Equal(isPlain(s), plain) // of s
		if !plain {
			continue
		}
		pieces := splitList(s)
		is.Equal(len(pieces), 1)
		is.Equal(pieces[0].spec(), s)
		is.Equal(Requote(s), s)
		is.Equal(parseListBy(enmime.ParseAddressList, s), []Address{checked(s, s)})
	}
}
