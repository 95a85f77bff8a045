package fsys

import "os"

// giveToOwner does nothing: a new file has the permissions of its directory.
func giveToOwner(*os.File) error { return nil }

func giveDirToOwner(string) error { return nil }
