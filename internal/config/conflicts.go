package config

import "github.com/unbit/spoolgore/internal/rewrite"

// A Conflict is a setting that has no effect, or another one than expected, because of another setting.
type Conflict struct{ Setting, Other, Effect string }

// Conflicts returns the settings that contradict each other.
func (c *Config) Conflicts() (all []Conflict) {
	set := func(key string) bool { return c.From[key].Rank != 0 }
	add := func(holds bool, setting, other, effect string) {
		if holds {
			all = append(all, Conflict{setting, other, effect})
		}
	}
	add(!c.Bounce && set("warnafter"), "warnafter", "bounce", "without reports no sender is warned")
	add(set("smtpuser") && set("smtpmd5user"), "smtpmd5user", "smtpuser", "smtpmd5user is ignored")
	add(c.Opts.SMTP.NoPipelining && set("window"), "window", "nopipelining",
		"without PIPELINING there is no CHUNKING, and no window")
	add(c.Opts.SMTP.NoChunking && set("window"), "window", "nochunking", "without CHUNKING there is no window")
	add(c.Opts.SMTP.NoPipelining && c.Opts.SMTP.NoChunking, "nochunking", "nopipelining",
		"nopipelining turns CHUNKING off, too")
	add(c.dial.Proxy != "" && (c.ip4 || c.ip6), map[bool]string{true: "ip4", false: "ip6"}[c.ip4], "smtpproxy",
		"the proxy looks up the relay, and chooses IPv4 or IPv6")
	add(c.Once && set("http"), "http", "once", "the page ends with the run")
	add(c.Once && c.Listen != "", "listen", "once", "the SMTP server ends with the run")
	add(!c.Bounce && set("postmaster"), "postmaster", "bounce", "without reports the postmaster gets none")
	w := c.Opts.Rewrite
	if rules, err := rewrite.New(rewrite.Settings{Allow: w.Allow}); err == nil {
		add(w.Redirect != "" && rules.Forbidden([]string{w.Redirect}) != "", "redirect", "allow",
			"the address of redirect is not allowed: all mail is held")
		for _, p := range w.Copies {
			add(w.Redirect == "" && rules.Forbidden([]string{p.Address}) != "", "bcc", "allow",
				p.Address+" is not allowed: mail with this copy is held")
		}
	}
	return all
}
