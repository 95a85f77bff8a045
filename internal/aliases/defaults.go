package aliases

import (
	"strings"

	"github.com/unbit/spoolgore/internal/sendmail"
)

// AddTo makes the aliases of a file part of d. Addresses in localhost, in the domain of d and in the name of the
// host may be aliases. Say gets each problem of the file that matters for a message, once. The files that an alias
// includes are read once, however often d looks up the alias: a client of -listen may do that in each RCPT.
func AddTo(d *sendmail.Defaults, path, host string, say func(problem string)) error {
	table, err := Load(path)
	if err != nil {
		return err
	}
	domain := d.Domain
	d.Local = func(name string) bool {
		for _, local := range []string{"localhost", "localhost.localdomain", host, domain} {
			if strings.EqualFold(name, local) {
				return true
			}
		}
		return false
	}
	table.Local = d.Local
	said, found := map[string]bool{}, map[string]sendmail.Alias{}
	d.Aliases = func(name string) (sendmail.Alias, bool) {
		if alias, ok := found[key(name)]; ok {
			return alias, true
		}
		a, ok := table.Lookup(name)
		for _, p := range a.Problems {
			if text := p.Error(); !said[text] {
				say(text)
				said[text] = true
			}
		}
		alias := sendmail.Alias{Targets: a.Targets, Discard: a.Discard}
		if ok { // other names are as many as the client likes
			found[key(name)] = alias
		}
		return alias, ok
	}
	return nil
}
