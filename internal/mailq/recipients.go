package mailq

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/unbit/spoolgore/internal/record"
)

// Recipients are recipients of a message. Their JSON is that of "spoolgore list -json". Unlike the JSON of the status
// file it has no empty fields and no marks of the daemon.
type Recipients []record.Recipient

// MarshalJSON returns the JSON of r.
func (r Recipients) MarshalJSON() ([]byte, error) {
	list := make([]listed, len(r))
	for i := range r {
		list[i] = listed(r[i])
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // the encoder that calls MarshalJSON escapes
	err := e.Encode(list)
	return text.Bytes(), err
}

// listed is record.Recipient with the JSON of "spoolgore list -json".
type listed struct {
	Address     string
	Status      record.State
	Attempts    int
	NextAttempt time.Time       `json:",omitzero"`
	Error       string          `json:",omitempty"`
	Added       bool            `json:"-"`
	Copy        bool            `json:",omitempty"`
	GivenUp     bool            `json:",omitempty"`
	Told        bool            `json:"-"`
	Warned      bool            `json:"-"`
	Relay       string          `json:",omitempty"`
	LastAttempt time.Time       `json:",omitzero"`
	History     *record.History `json:"Tried,omitempty"`
}
