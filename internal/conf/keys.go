package conf

import (
	"strings"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// For tells the programs that know a key.
type For uint8

// The programs.
const (
	Daemon   For = 1 << iota
	Sendmail     // sendmail-spool
	Both     = Daemon | Sendmail
)

// A Key is a setting in a configuration. The keys of the daemon are its flags, and dir, its operand.
type Key struct {
	Name    string
	Of      For
	Default string // default value, for people; empty: none
	Secret  bool   // the value is not to be shown to anybody
	Many    bool   // the key may be there several times, and each value counts
	File    bool   // the value names a file; a relative name is relative to the directory of the configuration
}

// Keys are all keys, in the order of output.
var Keys = []Key{
	{Name: "dir", Of: Both},
	{Name: "json", Of: Both, Default: "DIR/" + spooldir.StatusFile},

	{Name: "smtpaddr", Of: Daemon, Default: "127.0.0.1:25"},
	{Name: "relays", Of: Daemon, File: true},
	{Name: "smtptimeout", Of: Daemon, Default: "the limits of RFC 5321"},
	{Name: "localname", Of: Daemon, Default: "that of this host"},
	{Name: "concurrency", Of: Daemon, Default: "auto"},
	{Name: "rate", Of: Daemon, Default: "no limit"},
	{Name: "nopipelining", Of: Daemon, Default: "false"},
	{Name: "nochunking", Of: Daemon, Default: "false"},
	{Name: "window", Of: Daemon, Default: "4"},
	{Name: "recipients", Of: Daemon, Default: "as many as the relay accepts"},
	{Name: "reportfrom", Of: Daemon, Default: "none"},
	{Name: "noquotas", Of: Daemon, Default: "false"},
	{Name: "smtpidle", Of: Daemon, Default: "5s"},
	{Name: "ip4", Of: Daemon, Default: "false"},
	{Name: "ip6", Of: Daemon, Default: "false"},
	{Name: "smtpsource", Of: Daemon, Default: "the system's choice"},
	{Name: "smtpproxy", Of: Daemon, Default: "no proxy"},

	{Name: "smtpuser", Of: Daemon},
	{Name: "smtpmd5user", Of: Daemon},
	{Name: "smtpauth", Of: Daemon},
	{Name: "smtptoken", Of: Daemon, Default: "false"},
	{Name: "smtppasswordfile", Of: Daemon, File: true},
	{Name: "smtpoauth", Of: Daemon, File: true},
	{Name: "smtppasswordcmd", Of: Daemon, Secret: true}, // a command line may hold a password as well
	{Name: "smtppassword", Of: Daemon, Secret: true},
	{Name: "smtpmd5password", Of: Daemon, Secret: true},

	{Name: "smtptls", Of: Daemon, Default: "auto"},
	{Name: "smtptlsmin", Of: Daemon, Default: "1.2"},
	{Name: "smtpca", Of: Daemon, Default: "those of the system", File: true},
	{Name: "smtpcert", Of: Daemon, File: true},
	{Name: "smtpkey", Of: Daemon, File: true},
	{Name: "smtppin", Of: Daemon},
	{Name: "smtptlsname", Of: Daemon},

	{Name: "sender", Of: Daemon, Default: "that of each message"},
	{Name: "from", Of: Daemon, Default: "that of each message"},
	{Name: "senders", Of: Daemon, File: true},
	{Name: "redirect", Of: Daemon, Default: "the recipients of each message"},
	{Name: "allow", Of: Daemon, Default: "all recipients"},
	{Name: "bcc", Of: Daemon, Default: "no copies"},
	{Name: "postmaster", Of: Daemon, Default: "nobody"},

	{Name: "freq", Of: Daemon, Default: "10"},
	{Name: "settle", Of: Daemon, Default: "2"},
	{Name: "temporary", Of: Both, Default: strings.Join(spooldir.Temporary(), " ")},
	{Name: "retry", Of: Daemon, Default: "n minutes after the n-th failed attempt, at most 30"},
	{Name: "attempts", Of: Daemon, Default: "no limit"},
	{Name: "maxage", Of: Daemon, Default: "120h"},
	{Name: "maxrecipients", Of: Both, Default: "10000"},
	{Name: "bounce", Of: Daemon, Default: "true"},
	{Name: "pickupdots", Of: Daemon, Default: "false"},
	{Name: "warnafter", Of: Daemon, Default: "never"},
	{Name: "onfail", Of: Daemon, Secret: true}, // likewise
	{Name: "listen", Of: Daemon, Default: "nowhere"},
	{Name: "listenuser", Of: Daemon, Default: "no login", File: true},
	{Name: "listencert", Of: Daemon, Default: "no TLS", File: true},
	{Name: "listenkey", Of: Daemon, File: true},
	{Name: "on", Of: Daemon, Secret: true, Many: true},
	{Name: "keepfailed", Of: Daemon, Default: "never"},
	{Name: "http", Of: Daemon, Default: "nowhere"},
	{Name: "httptokenfile", Of: Daemon, File: true},
	{Name: "httptoken", Of: Daemon, Secret: true},
	{Name: "once", Of: Daemon, Default: "false"},
	{Name: "logjson", Of: Daemon, Default: "false"},
	{Name: "verbose", Of: Daemon, Default: "false"},
	{Name: "trace", Of: Daemon, Default: "10000"},
	{Name: "shortaddresses", Of: Daemon, Default: "false"},

	{Name: "domain", Of: Sendmail, Default: "that in /etc/mailname, else the host's name"},
	{Name: "aliases", Of: Sendmail, Default: "/etc/aliases"},
	{Name: "maxsize", Of: Sendmail, Default: "no limit; 50M if setgid, or by SMTP"},
	{Name: "userfiles", Of: Sendmail, Default: "no limit; 10000 if setgid"},
	{Name: "usersize", Of: Sendmail, Default: "no limit; 1G if setgid"},
}

// Names are the names of all keys.
func Names() []string {
	names := make([]string, len(Keys))
	for i, k := range Keys {
		names[i] = k.Name
	}
	return names
}

// Find returns the key of that name; ok is false if there is none.
func Find(name string) (k Key, ok bool) {
	for _, k := range Keys {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}
