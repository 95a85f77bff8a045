package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// A Provider has the addresses and the scope of a mail provider.
type Provider struct {
	Name     string
	Settings Settings // without client
	Device   bool     // the login is done on another device (RFC 8628); false: in a browser (RFC 8252)
}

// Providers are the providers that "spoolgore login" knows. Google does not admit mail scopes on other devices.
var Providers = []Provider{
	{Name: "microsoft", Device: true, Settings: Settings{
		TokenURL:      "https://login.microsoftonline.com/common/oauth2/v2.0/token",
		DeviceAuthURL: "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
		Scope:         "https://outlook.office.com/SMTP.Send offline_access",
	}},
	{Name: "google", Settings: Settings{
		TokenURL: "https://oauth2.googleapis.com/token",
		AuthURL:  "https://accounts.google.com/o/oauth2/auth",
		Scope:    "https://mail.google.com/",
	}},
}

// Login lets a person log in at the provider and keeps the refresh token in the file at path, which has the client's id
// and secret. Values of the file override those of the provider. Show gets what the person has to do. Pasted returns
// the address of the page to which the browser was sent, if the browser runs on another host; nil: it does not.
func Login(ctx context.Context, p Provider, path string, show func(text string), pasted func() (string, error)) error {
	settings, err := read(path)
	if err != nil {
		return err
	}
	known := p.Settings
	for _, f := range []struct{ value, usual *string }{
		{&settings.TokenURL, &known.TokenURL}, {&settings.AuthURL, &known.AuthURL},
		{&settings.DeviceAuthURL, &known.DeviceAuthURL}, {&settings.Scope, &known.Scope},
	} {
		if *f.value == "" {
			*f.value = *f.usual
		}
	}
	if err := settings.check(path); err != nil {
		return err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: requestLimit})
	var token *oauth2.Token
	if p.Device {
		token, err = onDevice(ctx, settings.Config(), show)
	} else {
		token, err = inBrowser(ctx, settings.Config(), show, pasted)
	}
	switch {
	case err != nil:
		return redact(err)
	case token.RefreshToken == "":
		return errors.New("the provider gave no refresh token")
	}
	return save(path, map[string]string{
		"refresh_token": token.RefreshToken, "token_url": settings.TokenURL, "scope": settings.Scope,
	})
}

// onDevice is the device flow: the person opens a page on any device and enters a code.
func onDevice(ctx context.Context, c *oauth2.Config, show func(string)) (*oauth2.Token, error) {
	device, err := c.DeviceAuth(ctx)
	if err != nil {
		return nil, err
	}
	show(fmt.Sprintf("Open %s and enter the code %s", device.VerificationURI, device.UserCode))
	return c.DeviceAccessToken(ctx, device)
}

// inBrowser is the authorization code flow with PKCE (RFC 7636): the browser is sent to a port of this host.
func inBrowser(
	ctx context.Context, c *oauth2.Config, show func(string), pasted func() (string, error),
) (*oauth2.Token, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c.RedirectURL = "http://" + l.Addr().String()
	verifier, state := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	page := c.AuthCodeURL(state, oauth2.AccessTypeOffline, oauth2.ApprovalForce, oauth2.S256ChallengeOption(verifier))
	answers := make(chan url.Values, 1)
	answer := func(v url.Values) {
		select {
		case answers <- v:
		default: // there is one
		}
	}
	web := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("state") != state {
				http.Error(w, "This is no answer to the login.", http.StatusBadRequest)
				return
			}
			fmt.Fprintln(w, "You can close this page.")
			answer(r.URL.Query())
		})}
	go func() { _ = web.Serve(l) }()
	defer web.Close()
	show("Open " + page)
	if pasted != nil {
		show("If the browser runs on another host, paste the address of the page to which it was sent:")
		go func() {
			text, err := pasted()
			if u, parseErr := url.Parse(strings.TrimSpace(text)); err == nil && parseErr == nil && u.RawQuery != "" {
				answer(u.Query())
			}
		}()
	}
	select {
	case v := <-answers:
		if v.Get("state") != state || v.Get("code") == "" {
			return nil, fmt.Errorf("the provider refuses: %s", v.Get("error"))
		}
		return c.Exchange(ctx, v.Get("code"), oauth2.VerifierOption(verifier))
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
