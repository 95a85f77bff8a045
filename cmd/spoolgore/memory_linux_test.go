package main

import (
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
)

const smaps = `00400000-00865000 r-xp 00000000 fe:00 998 /usr/bin/spool gore
Size:               4500 kB
Anonymous:             0 kB
Swap:                  0 kB
00865000-00ca1000 r--p 00465000 fe:00 998 /usr/bin/spool gore
Anonymous:            12 kB
Swap:                  0 kB
00ca1000-00cb1000 r--p 00465000 fe:00 998 /usr/bin/spool gore
Anonymous:             0 kB
Swap:                  4 kB
00cb1000-00db2000 rw-p 008a1000 fe:00 998 /usr/bin/spool gore
Anonymous:             0 kB
Swap:                  0 kB
00db2000-00dc2000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
7f000000-7f001000 r-xp 00000000 fe:00 999 /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
7f002000-7f003000 r--p 00000000 fe:00 998 /usr/bin/spool gore
Anonymous:             0 kB
`

// A mapping with written pages, such as relocations, is kept: its content would be lost.
func TestUntouchedMappings(t *testing.T) {
	is := is.New(t)
	is.Equal(untouched(strings.NewReader(smaps), "/usr/bin/spool gore"), []mapping{{0x400000, 0x865000}})
}

func TestProgramRunsAfterReleasingPages(t *testing.T) {
	is := is.New(t)
	f, err := os.Open("/proc/self/smaps")
	is.NoErr(err)
	defer f.Close()
	exe, err := os.Readlink("/proc/self/exe")
	is.NoErr(err)
	is.True(len(untouched(f, exe)) > 0) // the code of the program at least
	for range 3 {
		unmap()
	}
	is.True(strings.Contains(strings.ToUpper(exe), "/")) // the program still runs
}
