//go:build !windows

package conf

// Places returns the directory of the host's configuration, and the usual spool directory.
func Places() (etc, spool string) { return "/etc", "/var/spool/spoolgore" }
