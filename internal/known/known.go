// Package known names the faults that are known and not fixed yet. It is for tests only.
package known

// listed are the names. A fix takes the fault's name away.
var listed = map[string]bool{
	"F1/copy-in-tmp":             true,
	"F1/killed-after-giving-up":  true,
	"F2":                         true,
	"F5/renamed":                 true,
	"F5/moved-away-and-back":     true,
	"F5/held-under-another-name": true,
	"F6":                         true,
}

// Listed reports whether the fault is listed as known.
func Listed(name string) bool { return listed[name] }
