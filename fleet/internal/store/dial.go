package store

import (
	"net"
	"time"
)

// deadTime is the time after which a server that sends no acknowledgement is given up. The default of the system is a
// quarter of an hour.
const deadTime = 30 * time.Second

// dialer returns the dialer of connections to the server.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadTime / 2, Interval: deadTime / 6, Count: 3},
		Control:         limitSilence,
	}
}
