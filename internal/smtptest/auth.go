package smtptest

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

const (
	authYes  = "235 2.7.0 welcome"
	authNo   = "535 5.7.8 wrong user or password"
	authStop = "501 5.7.0 cancelled"
)

// A login is the AUTH exchange of a session.
type login struct{ *session }

// auth checks a user (RFC 4954) with PLAIN, LOGIN or CRAM-MD5, unless the reply is scripted.
func (s login) auth(arg string) error {
	if text := s.relay.script("AUTH", arg); text != "" {
		return s.scriptedAuth(text)
	}
	mech, initial, _ := strings.Cut(arg, " ")
	var user string
	var err error
	switch strings.ToUpper(mech) {
	case "PLAIN":
		user, err = s.authPlain(initial)
	case "LOGIN":
		user, err = s.authLogin(initial)
	case "CRAM-MD5":
		user, err = s.authCRAMMD5()
	default:
		_, err = s.send("504 5.5.4 unknown mechanism")
		return err
	}
	switch {
	case err == errCancelled:
		_, err = s.send(authStop)
	case err == nil && user == "":
		_, err = s.send(authNo)
	case err == nil:
		s.user = user
		_, err = s.send(authYes)
	}
	return err
}

// scriptedAuth passes each line of the exchange to the script, as long as the script replies 334.
func (s login) scriptedAuth(text string) error {
	for {
		reply, err := s.send(text)
		if err != nil || !goAhead(reply) {
			return err
		}
		line, err := s.readLine()
		if err != nil {
			return err
		}
		if text = s.relay.script("AUTH", line); line == "*" {
			text = authStop
		}
		if text == "" {
			text = authNo
		}
	}
}

func (s login) authPlain(initial string) (user string, err error) {
	if initial == "" {
		if initial, err = s.challenge(""); err != nil {
			return "", err
		}
	}
	parts := strings.Split(decode(initial), "\x00")
	if len(parts) == 3 && s.knows(parts[1], parts[2]) {
		return parts[1], nil
	}
	return "", nil
}

func (s login) authLogin(initial string) (user string, err error) {
	if initial == "" {
		if initial, err = s.challenge("Username:"); err != nil {
			return "", err
		}
	}
	password, err := s.challenge("Password:")
	if user = decode(initial); err == nil && s.knows(user, decode(password)) {
		return user, nil
	}
	return "", err
}

func (s login) authCRAMMD5() (user string, err error) {
	const challenge = "<1896.697170952@relay.test>"
	line, err := s.challenge(challenge)
	if err != nil {
		return "", err
	}
	user, digest, _ := strings.Cut(decode(line), " ")
	secret, known := s.relay.Users[user]
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write([]byte(challenge))
	if known && digest == hex.EncodeToString(mac.Sum(nil)) {
		return user, nil
	}
	return "", nil
}

func (s login) knows(user, password string) bool {
	want, known := s.relay.Users[user]
	return known && password == want
}

// challenge sends a 334 and returns the response, in base64.
func (s login) challenge(text string) (string, error) {
	if _, err := s.send("334 " + base64.StdEncoding.EncodeToString([]byte(text))); err != nil {
		return "", err
	}
	line, err := s.readLine()
	if line == "*" {
		return "", errCancelled
	}
	return line, err
}

// decode decodes base64. "=" is the empty text (RFC 4954, section 4).
func decode(text string) string {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(plain)
}

// errCancelled is the error for an AUTH that the client cancelled.
var errCancelled = errors.New("cancelled")
