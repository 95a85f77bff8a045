// Package httpapi is an example of a spoolgore.Transport: it delivers mail through the HTTP API of a mail provider.
//
// The API is made up, but each has these parts: a request for a message with a list of recipients, a token, 429 with
// Retry-After for too much mail, 4yz for a bad message, 5yz for trouble of the provider.
package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
)

// Transport delivers through the API at URL.
type Transport struct {
	URL    string
	Token  string
	Client *http.Client // nil: http.DefaultClient
}

// request is the body of a request: the message goes as it is.
type request struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	Raw  []byte   `json:"raw"` // in base64
}

// Deliver makes one request for all recipients, so the result is the same for each.
func (tr *Transport) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	return slices.Repeat([]spoolgore.Result{tr.deliver(ctx, t)}, len(t.To))
}

func (tr *Transport) deliver(ctx context.Context, t *spoolgore.Transaction) spoolgore.Result {
	raw, err := io.ReadAll(t.Content())
	if err != nil {
		return spoolgore.Result{Err: err} // the file cannot be read now: temporary
	}
	body, err := json.Marshal(request{From: t.From, To: t.To, Raw: raw})
	if err != nil {
		return spoolgore.Result{Err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tr.URL, bytes.NewReader(body))
	if err != nil {
		return failed(spoolgore.FaultRelay, 0, false, err)
	}
	r.Header.Set("Authorization", "Bearer "+tr.Token)
	r.Header.Set("Content-Type", "application/json")
	// The provider drops a second copy.
	r.Header.Set("Idempotency-Key", cmp.Or(t.ID, t.Name)+" "+strings.Join(t.To, ","))
	resp, err := cmp.Or(tr.Client, http.DefaultClient).Do(r)
	if err != nil {
		return lost(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	return result(resp, strings.TrimSpace(string(text)))
}

// result returns what a response means.
func result(resp *http.Response, text string) spoolgore.Result {
	err := fmt.Errorf("%s: %s", resp.Status, text)
	var r spoolgore.Result
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return spoolgore.Result{Reply: text} // accepted: never sent again
	case code == http.StatusTooManyRequests:
		r = failed(spoolgore.FaultRelay, code, false, err) // no attempt is counted; the transport rests
		r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code/100 == 5:
		r = failed(spoolgore.FaultRelay, code, false, err) // not this message's fault: a person must look
	case code == http.StatusRequestTimeout, code == http.StatusConflict:
		r = failed(spoolgore.FaultMessage, code, false, err) // later
	default:
		r = failed(spoolgore.FaultMessage, code, true, err) // this message will never be accepted
	}
	r.Reply = err.Error()
	return r
}

// lost is the result after an error without a response. Only before the request was sent is it certain that the
// provider has not accepted the message.
func lost(err error) spoolgore.Result {
	var op *net.OpError
	r := failed(spoolgore.FaultRelay, 0, false, err)
	if !errors.As(err, &op) || op.Op != "dial" {
		r.Err.(*spoolgore.DeliveryError).Uncertain = true
	}
	return r
}

func failed(fault spoolgore.Fault, code int, permanent bool, err error) spoolgore.Result {
	return spoolgore.Result{Err: &spoolgore.DeliveryError{
		Fault: fault, Op: "http", Code: code, Permanent: permanent, Err: err,
	}}
}

// retryAfter reads the field: a number of seconds, or a date.
func retryAfter(value string) time.Duration {
	if n, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(0, n)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0 // the retry rule of the spool decides
}
