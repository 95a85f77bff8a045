package main

import (
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notify sends a state to the service manager, if there is one.
func notify(state string) { _, _ = systemd.SdNotify(false, state) }

// managed reports whether there is a service manager.
func managed() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// watchdog is how long the service manager waits for a sign of life; zero: for ever.
func watchdog() time.Duration {
	limit, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return limit
}

// monotonic returns the line with the time of a reload.
func monotonic() string { return systemd.SdNotifyMonotonicUsec() }
