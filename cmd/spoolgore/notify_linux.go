package main

import (
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager; where there is none, nobody.
func notify(state string) { _, _ = systemd.SdNotify(false, state) }

// watchdog is how long the service manager waits for a sign of life; zero: for ever.
func watchdog() time.Duration {
	limit, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return limit
}

// monotonic is the line with the time that belongs to a reload.
func monotonic() string { return systemd.SdNotifyMonotonicUsec() }
