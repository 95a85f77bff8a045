package config

import (
	"os"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

func TestARelayIsNotTheAddressOfListen(t *testing.T) {
	is := is.New(t)
	host, err := os.Hostname()
	is.NoErr(err)
	rows := []struct {
		listen, relays string
		loop           bool
	}{
		{"25", "127.0.0.1:25", true},
		{"2525", "127.0.0.1:25", false},
		{"127.0.0.1:25", "mail.example.com:25", false},
		{"127.0.0.1:25", "mail.example.com:587, localhost:25", true},
		{"127.0.0.1:25", "smtp://localhost", true},
		{"localhost:2525", "127.0.0.2:2525", true},
		{"[::1]:2525", "[::1]:2525", true},
		{"[::1]:2525", "lmtp://127.0.0.1:2525", true},
		{"0.0.0.0:465", "smtps://127.0.0.1", true},
		{"0.0.0.0:465", host + ":465", true},
		{"0.0.0.0:465", "192.0.2.1:465", false},
		{":2525", "[::1]:2525", true},
		{"127.0.0.1:25", "lmtp+unix:///run/lmtp, mx:example.com, exec:/bin/relay", false},
	}
	for _, row := range rows {
		c := &Config{Listen: row.listen, Opts: spoolgore.Options{SMTPAddr: row.relays}}
		is.Equal(c.CheckLoop() != nil, row.loop) // row
		c = &Config{Listen: row.listen, Opts: spoolgore.Options{SMTPAddr: "mail.example.net:587"}}
		c.Opts.Routes = []spoolgore.Route{{Sender: "*", SMTPAddr: row.relays}}
		is.Equal(c.CheckLoop() != nil, row.loop) // row, in a route
	}
	is.NoErr((&Config{Opts: spoolgore.Options{SMTPAddr: "127.0.0.1:25"}}).CheckLoop())
}
