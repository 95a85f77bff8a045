package config

import "fmt"

// Allows returns an error if next changes a setting that needs a restart of the daemon.
func (c *Config) Allows(next *Config) error {
	for key, same := range map[string]bool{
		"dir": c.Dir == next.Dir, "json": c.Opts.StatusFile == next.Opts.StatusFile, "once": c.Once == next.Once,
		"logjson": c.LogJSON == next.LogJSON, "http": c.HTTP == next.HTTP,
		"httptokenfile": c.HTTPTokenFile == next.HTTPTokenFile, "httptoken": c.HTTPToken == next.HTTPToken,
		"listen": c.Listen == next.Listen, "listenuser": c.ListenUser == next.ListenUser,
		"listencert": c.ListenCert == next.ListenCert, "listenkey": c.ListenKey == next.ListenKey,
	} {
		if same {
			continue
		}
		where := next.From[key].Origin
		if where == "" {
			where = "the configuration"
		}
		return &Error{fmt.Errorf("%s: %s has changed; that needs a restart of the daemon", where, key)}
	}
	return nil
}
