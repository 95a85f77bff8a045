package hooks

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// readWhy reads a why-file, if it is a regular file.
func readWhy(path string) ([]byte, error) {
	dir, err := spooldir.New(filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return nil, err
	}
	return spooldir.ReadOn(dir.FS(), path)
}

// complete adds what the why-file says of a failed message. Without the file, which may be gone when the message was
// moved back, the event stays as it is.
func (e *Event) complete() {
	text, err := readWhy(e.Why)
	if err != nil {
		return
	}
	why, err := record.DecodeFailure(text)
	if err != nil {
		return
	}
	e.Reason, e.MessageID = why.Reason, why.MessageID
	for _, r := range slices.Concat(why.To, why.Cc, why.Bcc) {
		if r.GivenUp {
			e.To = append(e.To, r.Address)
		}
	}
}

// environ returns the environment variables of a command.
func (e *Event) environ() (env []string) {
	add := func(name, value string) {
		value = strings.ReplaceAll(value, "\x00", "?")
		if len(value) > maxText {
			value = value[:strings.LastIndexByte(value[:maxText], '\n')+1]
		}
		env = append(env, "SPOOLGORE_"+name+"="+value)
	}
	add("EVENT", e.Event)
	add("REASON", e.Reason)
	if e.Relay != "" {
		add("RELAY", e.Relay)
	}
	if e.Event != Failed {
		return env
	}
	add("FILE", e.Path)
	add("WHY", e.Why)
	add("FROM", e.From)
	add("TO", strings.Join(e.To, "\n"))
	add("MESSAGE_ID", e.MessageID)
	return env
}
