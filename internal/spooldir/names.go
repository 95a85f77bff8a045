package spooldir

import (
	"crypto/sha256"
	"encoding/base32"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of the daemon's own files in the spool directory. The dot keeps them apart from messages.
const (
	StatusFile  = ".spoolgore.js"      // records of all messages, unless the status file is configured elsewhere
	JournalFile = ".spoolgore.journal" // outcomes since the last write of the status file
	RateFile    = ".spoolgore.rate"    // how much of the rate limits is used
	StateFile   = ".spoolgore.state"   // state of the daemon and its relays
	LockFile    = ".spoolgore.lock"    // locked while a daemon runs the spool
	SentFile    = ".spoolgore.sent"    // the last outcomes, for people
)

// ownTemp begins the names under which WriteFile builds the daemon's own files in the spool.
const ownTemp = "..spoolgore."

// BadStatus comes between the name of a status file and a time where a start has set a damaged status file aside.
const BadStatus = ".bad-"

// TmpDir is the subdirectory for unfinished files. Hold and Failed are the other subdirectories.
const TmpDir = "tmp"

// NameOfID returns the name of the message with an id of its sender, the same for the same id; empty: no id. Different
// ids give different names: a hash follows what a file name can hold of the id.
func NameOfID(id string) string {
	if id == "" {
		return ""
	}
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_':
			return r
		}
		return -1
	}, id)
	sum := sha256.Sum256([]byte(id))
	hash := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20])
	return idPrefix + readable[:min(len(readable), 40)] + "-" + strings.ToLower(hash) + ".eml"
}

// idPrefix begins the result of NameOfID.
const idPrefix = "id-"

// IsNameOfID reports whether a name may be a result of NameOfID.
func IsNameOfID(name string) bool { return strings.HasPrefix(name, idPrefix) }

// whySuffix ends the names of why-files.
const whySuffix = ".json"

// WhyFile returns the name or path of the why-file of the message with the given name or path.
func WhyFile(message string) string { return message + whySuffix }

// IsWhyFile reports whether name is the name of a why-file in failed/. A message never has such a name there.
func IsWhyFile(name string) bool { return strings.HasSuffix(name, whySuffix) }

// Temporary returns patterns for the names of unfinished files and of old versions: of editors, browsers, and programs
// that copy files.
// (Names of rsync begin with a dot: such a file is no message.)
func Temporary() []string { return slices.Clone(temporary) }

// TemporaryTime is the time without a change after which a file with a temporary name is read.
const TemporaryTime = time.Hour

var temporary = []string{
	"*~", "*.bak", "*.orig", "*.save", "*.tmp", "*.part", "*.filepart", "*.swp", "*.crdownload", "#*#",
}

// IsTemporary reports whether name matches one of the patterns (of path.Match); nil: the patterns of Temporary.
func IsTemporary(name string, patterns []string) bool {
	if patterns == nil {
		patterns = temporary
	}
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// matches is path.Match for the name of a file. It is called several times for each message: nearly all patterns are
// a star before an end of the name.
func matches(pattern, name string) bool {
	if end, ok := strings.CutPrefix(pattern, "*"); ok && !strings.ContainsAny(end, `*?[\`) {
		return strings.HasSuffix(name, end)
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

// StatusPath returns the absolute path of the status file of d: configured or, if that is empty, StatusFile in d. The
// error is a relative path without a working directory.
func StatusPath(d *Dir, configured string) (string, error) {
	if configured == "" {
		return d.File(StatusFile), nil
	}
	return filepath.Abs(configured)
}
