package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/oauth"
)

func loginCommand() *command {
	var names []string
	for _, provider := range oauth.Providers {
		names = append(names, provider.Name)
	}
	c := &command{
		name:     "login",
		operands: []string{"PROVIDER FILE"},
		brief:    "log in at a mail provider with OAuth 2.0, for -smtpoauth",
		about: `Lets you log in at Microsoft or Google, and keeps the refresh token in FILE, the file of -smtpoauth.
FILE is JSON and has the client that you have registered at the provider:
  {"client_id": "...", "client_secret": "..."}
PROVIDER is microsoft or google. For Microsoft you enter a code on a page, on any device. For Google a browser
on this host opens a page. If the browser runs on another host, paste the address of the page to which it was sent.`,
		flags:  config.NewFlagSet("login"),
		values: names,
	}
	c.run = func(p *Program, args []string) int {
		if len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			c.writeHelp(p)
			return ExitOK
		}
		if len(args) != 2 {
			return p.UsageError(fmt.Errorf("login: want PROVIDER FILE; providers: %s", strings.Join(names, ", ")))
		}
		i := slices.Index(names, args[0])
		if i < 0 {
			return p.UsageError(fmt.Errorf("login: no provider %q, only %s", args[0], strings.Join(names, ", ")))
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		show := func(text string) { fmt.Fprintln(p.Stdout, text) }
		pasted := func() (string, error) { return bufio.NewReader(p.Stdin).ReadString('\n') }
		if err := oauth.Login(ctx, oauth.Providers[i], args[1], show, pasted); err != nil {
			return p.failure("login", err, ExitNotDone)
		}
		fmt.Fprintf(p.Stdout, "Logged in. Use it with -smtpoauth %s\n", args[1])
		return ExitOK
	}
	return c
}
