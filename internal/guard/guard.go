// Package guard calls functions of the application, which may panic, in place of the spool.
package guard

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Call calls f, a function of the application. A panic becomes an error, and is logged with its stack.
func Call(log *slog.Logger, name string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", name, p)
			stack := string(debug.Stack())
			log.Error("panic in a function of the application", "function", name, "err", err, "stack", stack)
		}
	}()
	f()
	return nil
}
