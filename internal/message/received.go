package message

import "time"

// A Hop is what a Received field says of a message that a program on this host handed over (RFC 5321, section 4.4). The
// field tells neither the name of the user nor that of the program.
type Hop struct {
	Host string // name of this host; empty: localhost
	With string // protocol, such as "ESMTP"; empty: none, the message came from a command
	UID  string // user id of the caller, in decimal; empty: not known
	Name string // name of the message in the spool
	Time time.Time
}

// MaxHop is more than the length of a field of Received, in octets.
const MaxHop = 1 << 10

// Received returns the field with its line ends, which are LF.
func (h Hop) Received() []byte {
	host := h.Host
	if host == "" || len(host) > 255 {
		host = "localhost"
	}
	text := "Received: from localhost by " + host
	if h.UID != "" {
		text += " (uid " + h.UID + ")"
	}
	text += "\n\t"
	if h.With != "" {
		text += "with " + h.With + " "
	}
	return []byte(text + "id " + h.Name + ";\n\t" + h.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\n")
}
