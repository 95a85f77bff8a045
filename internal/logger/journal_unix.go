//go:build unix

package logger

import (
	"fmt"
	"os"
	"syscall"
)

// streamOf names an open file as JOURNAL_STREAM does.
func streamOf(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
