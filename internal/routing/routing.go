// Package routing tells which way the mail of a sender takes: it is the one place where that is decided.
package routing

import "strings"

// By returns the function that tells which of the routes for senders the mail of a sender takes, as an index: the one for
// the address, else for its domain ("@example.com"), else for "*", else len(senders), the way of all other mail. The case of
// letters does not matter. An empty string in senders is no route.
func By(senders []string) func(sender string) int {
	of := make(map[string]int, len(senders))
	for i, key := range senders {
		of[strings.ToLower(key)] = i
	}
	return func(sender string) int {
		sender = strings.ToLower(sender)
		for _, key := range []string{sender, sender[max(0, strings.LastIndexByte(sender, '@')):], "*"} {
			if i, ok := of[key]; ok && key != "" {
				return i
			}
		}
		return len(senders)
	}
}

// Sender is the one whose route a message takes: its own sender or, as the null sender has none, its first recipient. A
// report, which is sent by the null sender, so takes the way on which the message came that it is about.
func Sender(from, first string) string {
	if from == "" {
		return first
	}
	return from
}
