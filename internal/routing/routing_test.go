package routing

import (
	"testing"

	"github.com/matryer/is"
)

func TestBy(t *testing.T) {
	senders := []string{"*", "@Example.com", "ann@example.com", ""}
	for sender, want := range map[string]int{
		"ann@example.com": 2, "Ann@EXAMPLE.com": 2, // the address
		"bob@example.com": 1, `"a@b"@example.com`: 1, // the domain after the last @
		"bob@sub.example.com": 0, "bob": 0, "": 0, // all other senders
	} {
		t.Run(sender, func(t *testing.T) {
			is := is.New(t)
			is.Equal(By(senders)(sender), want) // the most specific route
		})
	}
	is := is.New(t)
	is.Equal(By(senders[1:])("x@y"), 3) // no route: one more than the last index
	is.Equal(By([]string{""})(""), 1)   // the empty string is no route
}

func TestSender(t *testing.T) {
	is := is.New(t)
	is.Equal(Sender("a@x", "b@y"), "a@x") // the route of the sender
	is.Equal(Sender("", "b@y"), "b@y")    // the route of the recipient, as there is no sender
	is.Equal(Sender("", ""), "")
}

func TestTo(t *testing.T) {
	is := is.New(t)
	patterns := []string{"*", "to:@Corp.example", "TO:ann@corp.example", "@x.org", `to:"a@b"@x.org`}
	to := To(patterns)
	for recipient, want := range map[string]int{
		"bob@corp.example": 1, "BOB@CORP.EXAMPLE": 1, "Ann@corp.example": 2, `"A@B"@x.org`: 4,
		"bob@sub.corp.example": -1, "bob@x.org": -1, "bob": -1, "": -1,
	} {
		route, ok := to(recipient)
		is.Equal(ok, want >= 0) // whether the recipient has a route
		if ok {
			is.Equal(route, want)
		}
	}
	is.Equal(By(patterns)("to:@corp.example"), 0) // a pattern for recipients is not one for senders
	is.True(To([]string{"*", "@x"}) == nil)       // no recipient has a route of its own
}

func TestCheck(t *testing.T) {
	is := is.New(t)
	for _, good := range []string{
		"*", "a@x", "@x", "@x.y", "to:a@x", "to:@x", "To:@x.org", `"a b"@x`, `"a@b"@x`, `"*"@x`, "a+b@x", "a=b@x.org",
		"o'neil@x", "@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "jörg@bücher.example", "a.b.@docomo.example", "a_b-c@x_y.org",
	} {
		if err := Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "@", "a", "a@", "a@@x", "@@x", "a@b@x", "to:", "to:*", "to:a", "to:@", "to:a@@x", "to:a@b@x", "to:to:@x", "*@x",
		"to:*@x", "from:@x", "a@x,b@x", "<a@x>", "a@*.x", "@.x", "@x..y", "@x:25", "@x/y", `a"b@x`, "rcpt:a@x", "a(b)@x", "a;b@x",
		"to:@x:25", "smtp://a@x",
	} {
		if err := Check(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	is.Equal(Check("to:a").Error(), `behind "to:" there is no address, and no "@" and a domain`)
}
