//go:build unix

package msgfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// The user id in an envelope line counts only in a file of the daemon's own user, as other users could write any user
// id.
func TestUserOfAFile(t *testing.T) {
	own := uint32(os.Geteuid())
	const line = `X-Spoolgore-Envelope: {"from":"","to":["a@x.org"],"uid":`
	for name, tt := range map[string]struct {
		line string
		root bool // the file belongs to user 65533
		want uint32
	}{
		"no envelope line":         {"", false, own},
		"none in it":               {`X-Spoolgore-Envelope: {"from":"","to":["a@x.org"]}`, false, own},
		"in it":                    {line + `"1234"}`, false, 1234},
		"not a number":             {line + `"ann"}`, false, own},
		"too large":                {line + `"4294967296"}`, false, own},
		"in a file of another one": {line + `"1234"}`, true, 65533},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			path := t.TempDir()
			file := filepath.Join(path, "m")
			is.NoErr(os.WriteFile(file, []byte(strings.TrimLeft(tt.line+"\nTo: a@x.org\n\nx\n", "\n")), 0o600))
			if tt.root {
				if os.Geteuid() != 0 {
					t.Skip("only root can give a file away")
				}
				is.NoErr(os.Chown(file, 65533, 65533))
			}
			d, err := spooldir.New(path)
			is.NoErr(err)
			m, err := Open(d, "m", Look{Now: time.Now(), How: spooldir.Renamed})
			is.NoErr(err)
			defer m.Close()
			is.Equal(UserOf(m), tt.want)
		})
	}
}
