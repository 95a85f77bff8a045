package spooldir

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// fullDisk are the errors of noRoom.
var fullDisk = []syscall.Errno{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}

// systemErrors are the errors of SystemTrouble.
var systemErrors = []syscall.Errno{
	windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_WRITE_PROTECT,
	windows.ERROR_TOO_MANY_OPEN_FILES,
	windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_NOT_READY, windows.ERROR_CRC, windows.ERROR_IO_DEVICE,
}
