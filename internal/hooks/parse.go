package hooks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The events of hooks.
const (
	Failed    = "failed"     // a message was moved to failed/
	RelayDown = "relay-down" // a relay cannot be used, and rests
	RelayUp   = "relay-up"   // the relay can be used again
	Oldest    = "oldest"     // a message waits for longer than Hook.Age
)

var events = []string{Failed, RelayDown, RelayUp, Oldest}

// A Hook is a command for some events.
type Hook struct {
	Events  []string
	Age     time.Duration // of Oldest
	Command string        // for /bin/sh -c
}

// OnFail returns the hook of -onfail: a command for each failed message.
func OnFail(command string) Hook { return Hook{Events: []string{Failed}, Command: command} }

// Parse reads a hook: "EVENT,EVENT,...=COMMAND", where the event oldest has an age, as in "oldest=2h". ParseAge reads
// an age.
func Parse(text string, parseAge func(string) (time.Duration, error)) (h Hook, err error) {
	for rest := text; ; {
		end := strings.IndexAny(rest, ",=")
		if end < 0 {
			return Hook{}, errors.New("want EVENTS=COMMAND, such as failed,relay-down=/usr/local/bin/alert")
		}
		name := strings.TrimSpace(rest[:end])
		if !slices.Contains(events, name) {
			return Hook{}, fmt.Errorf("no event is called %q; there are %s", name, strings.Join(events, ", "))
		}
		h.Events = append(h.Events, name)
		last := rest[end] == '='
		rest = rest[end+1:]
		if name == Oldest {
			end := strings.IndexAny(rest, ",=")
			if !last || end < 0 {
				return Hook{}, errors.New("oldest needs an age and a command, as oldest=2h=COMMAND")
			}
			if h.Age, err = parseAge(strings.TrimSpace(rest[:end])); err != nil {
				return Hook{}, fmt.Errorf("oldest: %w", err)
			}
			last, rest = rest[end] == '=', rest[end+1:]
		}
		if !last {
			continue
		}
		if h.Command = strings.TrimSpace(rest); h.Command == "" {
			return Hook{}, errors.New("there is no command")
		}
		return h, nil
	}
}

func (h *Hook) wants(event string) bool { return slices.Contains(h.Events, event) }
