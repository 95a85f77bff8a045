package relayfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
)

// keys returns the keys of all settings.
func keys() []string {
	return []string{
		"user", "password", "passwordfile", "passwordcmd", "oauth", "token", "auth",
		"tls", "ca", "cert", "key", "pin", "tlsname", "sender", "from",
	}
}

// set sets the field of one key=value word. The keys in seen were set before; file names are relative to dir.
func (s *Settings) set(word, dir string, seen map[string]bool) error {
	key, value, ok := strings.Cut(word, "=")
	if !ok { // the error leaves the word out: the word may be half of a password
		return errors.New("it is not key=value; a value with spaces goes in double quotes")
	}
	fields := map[string]*string{
		"user": &s.User, "password": &s.Password, "passwordcmd": &s.PasswordCmd, "auth": &s.Auth, "tls": &s.TLS,
		"pin": &s.Pin, "tlsname": &s.TLSName, "sender": &s.Sender, "from": &s.From,
	}
	files := map[string]*string{
		"passwordfile": &s.PasswordFile, "oauth": &s.OAuth, "ca": &s.CA, "cert": &s.Cert, "key": &s.Key,
	}
	field, file := fields[key], files[key]
	if field == nil && file == nil && key != "token" {
		return unknown(key)
	}
	if seen[key] {
		return fmt.Errorf("%s is there twice", key)
	}
	seen[key] = true
	value, err := unquote(value)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	case value == "":
		return fmt.Errorf("%s is empty", key)
	case key == "token":
		s.Token = value == "yes"
		if value != "yes" && value != "no" {
			return errors.New("token is neither yes nor no")
		}
	case file == nil:
		*field = value
	case filepath.IsAbs(value):
		*file = value
	default:
		*file = filepath.Join(dir, value)
	}
	return nil
}

// unknown returns the error for an unknown key. It shows the key only if the key looks like a typing error: any other
// word may be a part of a password with spaces.
func unknown(key string) error {
	bare := strings.TrimPrefix(strings.TrimLeft(strings.ToLower(key), "-"), "smtp") // as the flag is called
	bare = bare[:min(len(bare), 30)]
	if nearest := conf.Nearest(bare, keys()); nearest != "" {
		return fmt.Errorf("unknown key %s, is it %s?", key, nearest)
	}
	return fmt.Errorf("unknown key; there are %s", strings.Join(keys(), ", "))
}
