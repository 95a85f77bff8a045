//go:build !unix

package shell

import "os/exec"

// killGroup has no effect: the end of the context kills the command alone.
func killGroup(*exec.Cmd) {}
