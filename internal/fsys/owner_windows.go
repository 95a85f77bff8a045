package fsys

import (
	"io/fs"
	"os"
)

// completeFile does nothing: a new file has the permissions of its directory.
func completeFile(*os.File, fs.FileMode) error { return nil }

func giveDirToOwner(string) error { return nil }
