package console

import (
	"os"

	"golang.org/x/sys/windows"
)

// Prepare makes the terminals among files obey escape sequences, which a console of Windows shows as text otherwise.
func Prepare(files ...*os.File) {
	for _, f := range files {
		var mode uint32
		if h := windows.Handle(f.Fd()); windows.GetConsoleMode(h, &mode) == nil {
			_ = windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) // old systems cannot
		}
	}
}
