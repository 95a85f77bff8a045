package main

import (
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// Who looks for the place of something finds every room on the map of the house.
func TestTheHouseMapHasEveryRoom(t *testing.T) {
	is := is.New(t)
	text, err := os.ReadFile("../../CONTRIBUTING.md")
	is.NoErr(err)
	for _, dir := range []string{"internal", "cmd"} {
		rooms, err := os.ReadDir("../../" + dir)
		is.NoErr(err)
		for _, room := range rooms {
			if name := dir + "/" + room.Name(); !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "`"+name+"/") {
				t.Errorf("CONTRIBUTING.md does not say what %s is for", name)
			}
		}
	}
}
