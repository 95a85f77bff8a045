package config

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/conf"
)

// A FlagSet is a flag.FlagSet with a documentation, in the order in which it was added.
type FlagSet struct {
	*flag.FlagSet
	Docs []Doc
}

// A Doc is one paragraph of the documentation of a FlagSet: a flag, another term, a heading, or a note.
type Doc struct {
	Heading string
	Flag    string // name without the dash
	Value   string // placeholder for the value of the flag; empty: the flag is a switch
	Term    string // another term than a flag
	Text    string // meaning of the flag or term, or the note
}

// Width is the number of columns of help texts.
const Width = 118

// NewFlagSet returns an empty FlagSet for a command. It prints no errors.
func NewFlagSet(name string) *FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return &FlagSet{FlagSet: fs}
}

// Parse parses args. An error about an unknown flag names the most similar one.
func (f *FlagSet) Parse(args []string) error {
	err := f.FlagSet.Parse(args)
	if err == nil {
		return nil
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var known []string
	f.VisitAll(func(k *flag.Flag) { known = append(known, k.Name) })
	if near := conf.Nearest(strings.TrimLeft(name, "-"), known); near != "" {
		return fmt.Errorf("there is no flag -%s: is it -%s?", name, near)
	}
	if slices.Contains([]string{"dir", "d", "directory", "spool"}, strings.TrimLeft(name, "-")) {
		return fmt.Errorf("there is no flag -%s: write the spool directory alone, behind the flags", name)
	}
	return fmt.Errorf("there is no flag -%s", name)
}

// Heading adds a heading.
func (f *FlagSet) Heading(text string) { f.Docs = append(f.Docs, Doc{Heading: text}) }

// Note adds a line of text.
func (f *FlagSet) Note(text string) { f.Docs = append(f.Docs, Doc{Text: text}) }

// Term adds a term other than a flag.
func (f *FlagSet) Term(term, text string) { f.Docs = append(f.Docs, Doc{Term: term, Text: text}) }

// Add adds a flag.
func (f *FlagSet) Add(v flag.Value, name, value, text string) {
	f.Var(v, name, text)
	f.document(name, value, text)
}

// AddSwitch adds a flag without a value.
func (f *FlagSet) AddSwitch(p *bool, name, text string) {
	f.BoolVar(p, name, *p, text)
	f.document(name, "", text)
}

// AddString adds a flag whose value is a string. The content of p is the default.
func (f *FlagSet) AddString(p *string, name, value, text string) {
	f.StringVar(p, name, *p, text)
	f.document(name, value, text)
}

// AddInt adds a flag whose value is a number. The content of p is the default.
func (f *FlagSet) AddInt(p *int, name, value, text string) {
	f.IntVar(p, name, *p, text)
	f.document(name, value, text)
}

// AddFunc adds a flag whose value is given to set.
func (f *FlagSet) AddFunc(set func(string) error, name, value, text string) {
	f.Func(name, text, set)
	f.document(name, value, text)
}

func (f *FlagSet) document(name, value, text string) {
	f.Docs = append(f.Docs, Doc{Flag: name, Value: value, Text: text})
}

// LookupDoc returns the Doc of a flag; ok is false if there is none of that name.
func (f *FlagSet) LookupDoc(name string) (d Doc, ok bool) {
	for _, d := range f.Docs {
		if d.Flag == name {
			return d, true
		}
	}
	return Doc{}, false
}

// Write writes the documentation to w. Texts begin at the given column.
func (f *FlagSet) Write(w io.Writer, column int) {
	for i, d := range f.Docs {
		switch {
		case d.Heading != "" && i > 0:
			fmt.Fprintf(w, "\n%s\n", d.Heading)
		case d.Heading != "":
			fmt.Fprintln(w, d.Heading)
		case d.Flag != "":
			writeTerm(w, strings.TrimSpace("-"+d.Flag+" "+d.Value), d.Text, column)
		case d.Term != "":
			writeTerm(w, d.Term, d.Text, column)
		default:
			fmt.Fprint(w, "  ", strings.Join(Wrap(d.Text, Width-2), "\n  "), "\n")
		}
	}
}

func writeTerm(w io.Writer, term, text string, column int) {
	lines := Wrap(text, Width-column)
	if len(term) > column-4 {
		fmt.Fprintf(w, "  %s\n", term)
		term = ""
	}
	for _, line := range lines {
		fmt.Fprintf(w, "  %-*s%s\n", column-2, term, line)
		term = ""
	}
}

// Wrap breaks text at spaces into lines of at most width columns.
func Wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
