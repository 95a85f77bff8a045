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

// UserOf returns the user id of a client on this host, in decimal; empty: another host, or not known. The kernel lists
// the sockets of the host with their owners.
func UserOf(client net.Addr) string {
	ap, err := netip.ParseAddrPort(client.String())
	if err != nil {
		return ""
	}
	addr := ap.Addr().Unmap()
	file := "/proc/net/tcp"
	if addr.Is6() {
		file = "/proc/net/tcp6"
	}
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	uid := findOwner(f, inHex(addr, ap.Port()))
	if uid == "" && addr.Is4() { // a client with an IPv6 socket
		if six, err := os.Open("/proc/net/tcp6"); err == nil {
			defer six.Close()
			uid = findOwner(six, inHex(netip.AddrFrom16(addr.As16()), ap.Port()))
		}
	}
	return uid
}

// findOwner returns the owner of the socket with the local address.
func findOwner(table io.Reader, local string) string {
	const addressField, ownerField = 1, 7
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > ownerField && fields[addressField] == local {
			return fields[ownerField]
		}
	}
	return ""
}

// inHex returns an address as the kernel writes it: words of 32 bits in the order of the processor.
func inHex(addr netip.Addr, port uint16) string {
	octets := addr.AsSlice()
	for word := octets; len(word) >= 4; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", strings.ToUpper(hex.EncodeToString(octets)), port)
}
