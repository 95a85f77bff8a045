package cli

import (
	"strings"
	"testing"
)

func TestFreeSpace(t *testing.T) {
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		s    space
		want level
		say  string
	}{
		"enough":                            {space{50 * gib, 900, 100 * gib, 1000}, levelOK, "free=53687091200B"},
		"a small share of a large disk":     {space{20 * gib, 900, 2000 * gib, 1000}, levelOK, ""},
		"nearly full":                       {space{gib / 2, 900, 100 * gib, 1000}, levelWarning, "nearly full: 512M free"},
		"full":                              {space{50 << 20, 900, 100 * gib, 1000}, levelCritical, "is full"},
		"few inodes":                        {space{50 * gib, 40, 100 * gib, 1000}, levelWarning, "few inodes left: 40 free"},
		"no inodes":                         {space{50 * gib, 0, 100 * gib, 1000}, levelCritical, "no inodes"},
		"a file system without inode table": {space{50 * gib, 0, 100 * gib, 0}, levelOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var r checkResult
			r.addSpace(tt.s)
			if r.level() != tt.want || !strings.Contains(r.line(), tt.say) {
				t.Errorf("%v: %s", r.level(), r.line())
			}
		})
	}
}

// A file system of which root has used more than all has no free space.
func TestNegativeSpaceIsNone(t *testing.T) {
	if free(int64(-7)) != 0 || free(int64(7)) != 7 || free(uint64(7)) != 7 {
		t.Error(free(int64(-7)), free(int64(7)))
	}
}
