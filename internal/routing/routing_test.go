package routing

import (
	"testing"

	"github.com/matryer/is"
)

func TestBy(t *testing.T) {
	senders := []string{"*", "@Example.com", "ann@example.com", ""}
	for sender, want := range map[string]int{
		"ann@example.com": 2, "Ann@EXAMPLE.com": 2, // the address
		"bob@example.com": 1, `"a@b"@example.com`: 1, // the domain behind the last @
		"bob@sub.example.com": 0, "bob": 0, "": 0, // all others
	} {
		t.Run(sender, func(t *testing.T) {
			is := is.New(t)
			is.Equal(By(senders)(sender), want) // the most exact route counts
		})
	}
	is := is.New(t)
	is.Equal(By(senders[1:])("x@y"), 3) // no route: behind the last one
	is.Equal(By([]string{""})(""), 1)   // the empty string is no route
}

func TestSender(t *testing.T) {
	is := is.New(t)
	is.Equal(Sender("a@x", "b@y"), "a@x") // the sender's way
	is.Equal(Sender("", "b@y"), "b@y")    // that of the recipient, as there is no sender
	is.Equal(Sender("", ""), "")
}
