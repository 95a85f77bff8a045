package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/rewrite"
)

// rewriteFlags adds the flags for other senders and recipients than those of the messages.
func rewriteFlags(fs *FlagSet, c *Config) {
	w := &c.Opts.Rewrite
	fs.Heading("Senders and recipients")
	fs.Add(&rewriteFlag{&w.Sender, func(s *rewrite.Settings, v string) { s.Sender = v }}, "sender", "ADDRESS",
		"the envelope sender of all mail; the null sender of reports stays")
	fs.Add(&rewriteFlag{&w.From, func(s *rewrite.Settings, v string) { s.From = v }}, "from", "ADDRESS",
		"the address in the From field, too; the name there stays, and the old address goes to Reply-To, if there is "+
			"none")
	fs.AddString(&c.SendersFile, "senders", "FILE",
		"lines with a sender and the address in its place: www-data@* app@example.com, @web1.local @example.com")
	fs.Add(&rewriteFlag{&w.Redirect, func(s *rewrite.Settings, v string) { s.Redirect = v }}, "redirect", "ADDRESS",
		"the recipient of all mail, one copy of each message; the fields To and Cc stay")
	fs.Add(&rewriteFlag{&c.Opts.Postmaster, func(s *rewrite.Settings, v string) { s.Redirect = v }}, "postmaster",
		"ADDRESS", "gets reports that cannot be delivered to their sender")
	fs.Add((*allowList)(&w.Allow), "allow", "LIST",
		"addresses and domains that may get mail, as ann@example.com,@corp.example; a message with any other "+
			"recipient is held")
	fs.Add((*copyList)(&w.Copies), "bcc", "LIST",
		"addresses that get a copy of all mail, or of that of a sender: archive@example.com, or "+
			"@shop.example archive@shop.example,...")
}

// rewriteFlag is an address as a flag.
type rewriteFlag struct {
	to  *string
	set func(s *rewrite.Settings, value string)
}

// String implements flag.Value.
func (f *rewriteFlag) String() string {
	if f.to == nil {
		return ""
	}
	return *f.to
}

// Set implements flag.Value.
func (f *rewriteFlag) Set(text string) error {
	var s rewrite.Settings
	f.set(&s, text)
	if _, err := rewrite.New(s); err != nil || text == "" {
		return fmt.Errorf("%q: want an address, such as app@example.com", text)
	}
	*f.to = text
	return nil
}

// allowList is a list of patterns as a flag.
type allowList []string

// String implements flag.Value.
func (l *allowList) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *allowList) Set(text string) error {
	*l = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(*l) == 0 {
		return errors.New("want addresses and domains, such as ann@example.com,@corp.example")
	}
	_, err := rewrite.New(rewrite.Settings{Allow: *l})
	return err
}

// copyList is a list of addresses, each with a pattern of senders in front, as a flag.
type copyList []spoolgore.AddressPair

// String implements flag.Value.
func (l *copyList) String() string {
	var words []string
	for _, p := range *l {
		words = append(words, p.Pattern+" "+p.Address)
	}
	return strings.Join(words, ",")
}

// Set implements flag.Value.
func (l *copyList) Set(text string) error {
	*l = nil
	var s rewrite.Settings
	for item := range strings.SplitSeq(text, ",") {
		words := strings.Fields(item)
		switch len(words) {
		case 1:
			words = []string{"*", words[0]}
		case 2:
		default:
			return fmt.Errorf("%q: want ADDRESS, or SENDER ADDRESS", strings.TrimSpace(item))
		}
		*l = append(*l, spoolgore.AddressPair{Pattern: words[0], Address: words[1]})
		s.Copies = append(s.Copies, rewrite.Pair{Pattern: words[0], Address: words[1]})
	}
	_, err := rewrite.New(s)
	return err
}

// maxSenders is the size limit of a senders file, in bytes.
const maxSenders = 1 << 20

// readSenders reads the senders file: on each line a pattern of senders and the address in its place. A line that
// begins with # is a comment.
func readSenders(path string) (pairs []spoolgore.AddressPair, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSenders+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSenders {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSenders)
	}
	seen := rewrite.Settings{}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\uFEFF")) { // of an editor on Windows
		number++
		words := fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
			continue
		case len(words) > 2 && words[2][0] != '#' || len(words) < 2:
			return nil, fmt.Errorf("%s:%d: want SENDER ADDRESS, such as www-data@* app@example.com", path, number)
		}
		pair := spoolgore.AddressPair{Pattern: words[0], Address: words[1]}
		seen.Senders = append(seen.Senders, rewrite.Pair(pair))
		if _, err := rewrite.New(rewrite.Settings{Senders: seen.Senders[len(seen.Senders)-1:]}); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		pairs = append(pairs, pair)
	}
	if _, err := rewrite.New(seen); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pairs, nil
}

// fields returns the words of a line. Blanks between double quotes, as in a local part, are part of the word.
func fields(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\r' || r == '\n')
	})
}

// ShowRewriting writes the settings for other senders and recipients, a line for each, for the log at the start.
func (c *Config) ShowRewriting(say func(setting, value string)) {
	w := c.Opts.Rewrite
	for _, s := range [][2]string{
		{"sender", w.Sender}, {"from", w.From}, {"senders", c.SendersFile}, {"redirect", w.Redirect},
		{"allow", (*allowList)(&w.Allow).String()}, {"bcc", (*copyList)(&w.Copies).String()},
	} {
		if s[1] != "" {
			say(s[0], s[1])
		}
	}
}
