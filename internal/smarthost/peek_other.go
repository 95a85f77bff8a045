//go:build !unix

package smarthost

import "net"

// hungUp reports whether the relay has closed a connection at rest; false: that is not known.
func hungUp(net.Conn) bool { return false }
