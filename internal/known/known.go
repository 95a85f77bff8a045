// Package known says which faults are known and not fixed yet.
package known

// Listed reports whether the fault name is listed as known.
func Listed(name string) bool {
	switch name {
	case "F1/copy-in-tmp", "F3", "F8/linked-without-why",
		"N1": // a message that cannot be taken back from failed/ is given up under two names; moved back it is never sent
		return true
	}
	return false
}
