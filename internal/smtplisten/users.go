package smtplisten

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// Users are the users that may hand over mail.
type Users map[string][]byte // bcrypt hashes, by name

// errLogin does not tell whether the user or the password is wrong.
var errLogin = errors.New("user or password is wrong")

// unknownUser is a hash that makes the check of an unknown user take as long as that of a known one.
var unknownUser = sync.OnceValue(func() []byte {
	hash, _ := bcrypt.GenerateFromPassword([]byte("no password"), bcrypt.DefaultCost)
	return hash
})

// ReadUsers reads the file of -listenuser: lines USER:HASH, as htpasswd -B writes them. Lines that begin with # are
// comments.
func ReadUsers(path string) (Users, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	users, err := parseUsers(f)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return users, nil
}

func parseUsers(r io.Reader) (Users, error) {
	users := Users{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		name, hash, _ := strings.Cut(text, ":")
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || name == "" {
			return nil, fmt.Errorf("%d: want USER:HASH with a bcrypt hash, as htpasswd -B writes it", n)
		}
		if users[name] != nil {
			return nil, fmt.Errorf("%d: second line for the same user", n)
		}
		users[name] = []byte(hash)
	}
	if len(users) == 0 {
		return nil, errors.New(" no users")
	}
	return users, lines.Err()
}

// Login checks a password.
func (u Users) Login(user, password string) error {
	hash, known := u[user]
	if !known {
		hash = unknownUser()
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		return errLogin
	}
	return nil
}
