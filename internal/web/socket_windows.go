package web

import (
	"errors"
	"net"
)

// listenUnix returns an error: a socket has no mode here.
func listenUnix(string) (net.Listener, error) {
	return nil, errors.New("unix: is for Unix systems; listen at HOST:PORT with a token")
}
