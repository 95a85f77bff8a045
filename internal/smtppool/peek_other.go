//go:build !unix

package smtppool

import "net"

// hungUp would report whether the relay has closed an idle connection. The state is unknown on this system.
func hungUp(net.Conn) bool { return false }
