package spooldir

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the daemon's own files in the spool directory. The dot keeps them apart from messages.
const (
	StatusFile  = ".spoolgore.js"      // what is known of each message, unless the status file is configured elsewhere
	JournalFile = ".spoolgore.journal" // what has happened since the status file was written
	RateFile    = ".spoolgore.rate"    // how much of the rate limits is used
	StateFile   = ".spoolgore.state"   // how the daemon and its relays are
	LockFile    = ".spoolgore.lock"    // locked while a daemon runs the spool
	SentFile    = ".spoolgore.sent"    // the last outcomes, for people
)

// ownTemp begins the names under which WriteFile builds the daemon's own files in the spool.
const ownTemp = "..spoolgore."

// TmpDir is the subdirectory for files that are being written. Hold and Failed are the other subdirectories.
const TmpDir = "tmp"

// whySuffix ends the names of why-files.
const whySuffix = ".json"

// WhyFile returns the name, or path, of the file that says why the message with that name, or path, was given up.
func WhyFile(message string) string { return message + whySuffix }

// IsWhyFile reports whether name is the name of a why-file in failed/. A message never has such a name there.
func IsWhyFile(name string) bool { return strings.HasSuffix(name, whySuffix) }

// Temporary returns patterns of names that programs give to files which they are still writing: editors, browsers,
// and programs that copy files (rsync's begin with a dot and are no messages).
func Temporary() []string { return slices.Clone(temporary) }

var temporary = []string{"*~", "*.tmp", "*.part", "*.filepart", "*.swp", "*.crdownload", "#*#"}

// IsTemporary reports whether name has one of the patterns, which are those of path.Match; nil: those of Temporary.
func IsTemporary(name string, patterns []string) bool {
	if patterns == nil {
		patterns = temporary
	}
	for _, p := range patterns {
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}

// StatusPath returns the absolute path of the status file of d: configured or, if that is empty, StatusFile in d. The
// error is a relative path without a working directory.
func StatusPath(d *Dir, configured string) (string, error) {
	if configured == "" {
		return d.File(StatusFile), nil
	}
	return filepath.Abs(configured)
}
