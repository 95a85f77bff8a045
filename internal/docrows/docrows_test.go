package docrows

import (
	"testing"

	"github.com/matryer/is"
)

func TestSteps(t *testing.T) {
	is := is.New(t)
	const text = "# T\n\n## A\n\n| step | left | next |\n|---|---|---|\n| one | x | y |\n| two | x | y |\n\n| key | value |\n\n## B b\n| step | l | n |\n| three | x | y |\n"
	is.Equal(Steps(text), map[string][]string{"A": {"one", "two"}, "B b": {"three"}})
}
