//go:build !linux

package smtplisten

import "net"

// UserOf returns "": the system does not tell whose socket it is.
func UserOf(net.Conn) string { return "" }
