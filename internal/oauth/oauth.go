// Package oauth gets OAuth 2.0 access tokens for the login at a relay (RFC 6749): with a refresh token, or with the
// credentials of the client. The settings are a JSON file, which also keeps a new refresh token of the server.
package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/unbit/spoolgore/internal/fsys"
)

const (
	requestLimit = 30 * time.Second // of a request to the token server
	margin       = time.Minute      // a token is renewed so long before its end: clocks differ
	maxFile      = 64 << 10         // octets of the file
)

// Settings are the content of the file.
type Settings struct {
	TokenURL         string `json:"token_url"`
	ClientID         string `json:"client_id"`
	ClientSecret     string `json:"client_secret,omitempty"`
	ClientSecretFile string `json:"client_secret_file,omitempty"` // relative to the directory of the file
	Scope            string `json:"scope,omitempty"`              // separated by blanks
	RefreshToken     string `json:"refresh_token,omitempty"`      // empty: client credentials (RFC 6749, section 4.4)

	// For "spoolgore login" only
	AuthURL       string `json:"auth_url,omitempty"`
	DeviceAuthURL string `json:"device_auth_url,omitempty"` // RFC 8628
}

// Load reads and checks the file. No error shows a secret.
func Load(path string) (Settings, error) {
	s, err := read(path)
	if err == nil {
		err = s.check(path)
	}
	return s, err
}

func read(path string) (s Settings, err error) {
	text, _, err := fsys.ReadRegular(path, maxFile)
	if err != nil {
		return s, err
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&s); err != nil {
		var wrong *json.SyntaxError
		if errors.As(err, &wrong) {
			return s, fmt.Errorf("%s is not valid JSON, near byte %d", path, wrong.Offset)
		}
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *Settings) check(path string) error {
	switch {
	case s.ClientID == "":
		return fmt.Errorf("%s: there is no client_id; write that of the application that you have registered", path)
	case s.TokenURL == "":
		return fmt.Errorf("%s: there is no token_url; \"spoolgore login\" sets it for microsoft and google", path)
	case s.ClientSecret != "" && s.ClientSecretFile != "":
		return fmt.Errorf("%s: client_secret and client_secret_file: only one of them", path)
	case s.ClientSecretFile != "":
		name := s.ClientSecretFile
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		secret, _, err := fsys.ReadRegular(name, maxFile)
		if err != nil {
			return err
		}
		s.ClientSecret = strings.TrimSpace(string(secret))
	}
	return nil
}

// Config returns the settings for package oauth2.
func (s Settings) Config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, Scopes: strings.Fields(s.Scope),
		Endpoint: oauth2.Endpoint{TokenURL: s.TokenURL, AuthURL: s.AuthURL, DeviceAuthURL: s.DeviceAuthURL},
	}
}

// source gets tokens with the settings of one file.
type source struct {
	path string
	log  *slog.Logger
	save func(path string, set map[string]string) error // save, or that of a test

	mu      sync.Mutex
	token   *oauth2.Token // nil: none yet
	unsaved unsaved
}

// unsaved is a refresh token that the file does not have, because the file could not be written.
type unsaved struct{ refresh, instead string } // instead: the refresh token in the file

// Source returns a function that returns an access token, for smtppool.Settings.Secret. Again means that the relay has
// refused the last token. The file is read for each token, so that a new login counts at once. A new refresh token of
// the server is written to the file. A file that cannot be written is logged: the token then lasts as long as the
// process.
func Source(path string, log *slog.Logger) func(ctx context.Context, again bool) (string, error) {
	s := &source{path: path, log: log, save: save}
	return s.get
}

func (s *source) get(ctx context.Context, again bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && !again && (s.token.Expiry.IsZero() || time.Until(s.token.Expiry) > margin) {
		return s.token.AccessToken, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	token, err := s.renew(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: requestLimit}))
	if err != nil {
		return "", fmt.Errorf("get an access token: %w", redact(err))
	}
	s.token = token
	return token.AccessToken, nil
}

// renew asks the server for a token. Two processes with the same file take turns, because some servers accept a refresh
// token only once.
func (s *source) renew(ctx context.Context) (*oauth2.Token, error) {
	unlock, err := lock(ctx, s.path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	settings, err := Load(s.path)
	if err != nil {
		return nil, err
	}
	if settings.RefreshToken == "" {
		c := clientcredentials.Config{
			ClientID: settings.ClientID, ClientSecret: settings.ClientSecret, TokenURL: settings.TokenURL,
			Scopes: strings.Fields(settings.Scope),
		}
		return c.Token(ctx)
	}
	refresh := settings.RefreshToken
	if s.unsaved.instead == refresh { // otherwise there was a new login
		refresh = s.unsaved.refresh
	}
	token, err := settings.Config().TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err == nil && token.RefreshToken != "" && token.RefreshToken != settings.RefreshToken {
		s.keep(token.RefreshToken, settings.RefreshToken)
	}
	return token, err
}

// keep writes the refresh token to the file, in place of the token instead.
func (s *source) keep(refresh, instead string) {
	err := s.save(s.path, map[string]string{"refresh_token": refresh})
	if err == nil {
		s.unsaved = unsaved{}
		return
	}
	if s.unsaved == (unsaved{}) {
		s.log.Error("new refresh token cannot be saved; after a restart the login may fail", "file", s.path, "err", err)
	}
	s.unsaved = unsaved{refresh, instead}
}

// save sets fields of the file. Other fields stay.
func save(path string, set map[string]string) error {
	text, _, err := fsys.ReadRegular(path, maxFile)
	if err != nil {
		return err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("%s is not valid JSON", path)
	}
	for name, value := range set {
		fields[name] = value
	}
	if text, err = json.MarshalIndent(fields, "", "\t"); err != nil {
		return err
	}
	return replace(path, append(text, '\n'))
}

// redact removes the body of the server's answer, which may repeat a secret. The error code and its description stay.
func redact(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return err
	}
	text := answer.ErrorCode
	if answer.ErrorDescription != "" {
		text += ": " + answer.ErrorDescription
	}
	if text == "" && answer.Response != nil {
		text = answer.Response.Status
	}
	return fmt.Errorf("the token server refuses: %s", text)
}
