// Package tools has the tests of files in packaging that are written for other systems. The module also names the
// programs
// that build packages, with their versions.
package tools
