package conf

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Expand returns the directory for a value of dir: %u is the login name, %h the home directory of the user, and %% is
// %. login and home are called only if needed. The error is that of another %, of a name that is unknown, or of a path
// that is not absolute.
func Expand(dir string, login, home func() string) (string, error) {
	var err error
	part := func(name, value string, ok bool) string {
		if !ok {
			err = fmt.Errorf("%q: %s of this user is not known", dir, name)
		}
		return value
	}
	var b strings.Builder
	for rest := dir; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		if after == "" {
			return "", fmt.Errorf("%q: a %% at the end", dir)
		}
		switch after[0] {
		case '%':
			b.WriteByte('%')
		case 'u':
			name := login()
			b.WriteString(part("the name", name, name != "" && name != "." && name != ".." &&
				!strings.ContainsAny(name, "/"+string(filepath.Separator))))
		case 'h':
			path := home()
			b.WriteString(part("the home directory", path, filepath.IsAbs(path)))
		default:
			return "", fmt.Errorf("%q: %%%c is neither %%u, %%h nor %%%%", dir, after[0])
		}
		rest = after[1:]
	}
	if err == nil && !filepath.IsAbs(b.String()) {
		err = fmt.Errorf("%q is not an absolute path", dir)
	}
	return b.String(), err
}
