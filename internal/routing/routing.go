// Package routing decides the route of the mail of a sender. No other package does.
package routing

import "strings"

// By returns a function that returns the route of a sender as an index of senders: the route for the address, else for
// the domain ("@example.com"), else for "*", else len(senders), the route of all other mail. Case does not matter. An
// empty string in senders is no route.
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

// Sender returns the address whose route a message takes: the sender or, after the null sender, the first recipient. So
// a report takes the route of the message in question.
func Sender(from, first string) string {
	if from == "" {
		return first
	}
	return from
}
