package conf

import (
	"os"
	"path/filepath"
)

// Places returns the directory of the host's configuration, and the usual spool directory.
func Places() (etc, spool string) {
	etc = filepath.Join(os.Getenv("ProgramData"), "spoolgore")
	return etc, filepath.Join(etc, "spool")
}
