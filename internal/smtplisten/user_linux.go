package smtplisten

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// UserOf returns the user id of the client of a connection on this host, in decimal; empty: another host, or not known.
// The kernel lists the sockets of the host with their owners.
func UserOf(connection net.Conn) string {
	client, err := netip.ParseAddrPort(connection.RemoteAddr().String())
	if err != nil {
		return ""
	}
	server, err := netip.ParseAddrPort(connection.LocalAddr().String())
	if err != nil {
		return ""
	}
	// an IPv4 client may have an IPv6 socket; systemd's ProcSubset=pid hides /proc/net
	tables := []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"}
	if client.Addr().Unmap().Is6() {
		tables = tables[1:]
	}
	for _, name := range tables {
		six := name == "/proc/self/net/tcp6"
		f, err := os.Open(name)
		if err != nil {
			return ""
		}
		uid := findOwner(f, inHex(client, six), inHex(server, six))
		f.Close()
		if uid != "" {
			return uid
		}
	}
	return ""
}

// findOwner returns the owner of the socket with the addresses. Both count: sockets of several users can have the same
// local address. A socket that its process has closed has no inode and, in the table, the owner 0, whoever it was.
func findOwner(table io.Reader, local, remote string) string {
	const localField, remoteField, ownerField, inodeField = 1, 2, 7, 9
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inodeField && fields[localField] == local && fields[remoteField] == remote {
			if fields[inodeField] == "0" {
				return ""
			}
			return fields[ownerField]
		}
	}
	return ""
}

// inHex returns an address as the kernel writes it: words of 32 bits in the order of the processor. With six, an IPv4
// address is written as an IPv6 address.
func inHex(at netip.AddrPort, six bool) string {
	addr, port := at.Addr().Unmap().WithZone(""), at.Port()
	octets := addr.AsSlice()
	if six {
		all := addr.As16()
		octets = all[:]
	}
	for word := octets; len(word) >= 4; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(octets)), port)
}
