package spoolgore

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Files and mounts that only Linux has.
var onThisSystem = []nuisance{
	{name: "growing for ever", make: growing, where: inSpool, reason: "being written"},
	{name: "device", make: device, where: inSpool, reason: "not a regular file"},
}

// device makes a character device with the numbers of /dev/zero, which reads as zeros without end.
func device(t *testing.T, path string) {
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		unavailable(t, "make a device", err)
	}
}

// unavailable skips a test if the system lacks something. In CI it fails the test instead.
func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}
