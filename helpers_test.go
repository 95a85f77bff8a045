package spoolgore

import (
	"cmp"
	"time"

	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// reportDelay is the time from the first refusal to a report on it while other recipients still wait.
const reportDelay = time.Hour

// orDefault sets a field to a default if it is zero.
func orDefault[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

// nameOf returns the file name of an entry of the status file.
func nameOf(key string, m *Message) string {
	return record.FileName(key, &record.Message{RawName: m.RawName})
}

// loadStatus reads a status file.
func loadStatus(path string) (Status, error) {
	dir, err := spooldir.New(".")
	if err != nil {
		return nil, err
	}
	s := Status{}
	err = engine.ReadStatus(dir, path, func(key string, m *record.Message) { s[key] = *messageOf(m) })
	return s, err
}
