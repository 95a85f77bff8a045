package record

import (
	"encoding/json"
	"time"
)

// Failure is the content of a why-file, failed/NAME.json: the message at the time when it was given up, and the reason.
type Failure struct {
	File    string    // path of the message file in the spool
	Time    time.Time // when the message was given up
	Reason  string    // reason in one line
	Message           // the message at that time
}

// FailureOf returns the why-file of m, whose file was at path. The caller sets BodyDigest if Digest is set.
func FailureOf(m *Message, path string, now time.Time) *Failure {
	return &Failure{File: path, Time: now, Reason: m.Reason(), Message: *m}
}

// Encode returns f as the text of a why-file.
func (f *Failure) Encode() ([]byte, error) { return json.MarshalIndent(f, "", "\t") }

// DecodeFailure reads the text of a why-file.
func DecodeFailure(text []byte) (*Failure, error) {
	f := &Failure{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, err
	}
	return f, nil
}
