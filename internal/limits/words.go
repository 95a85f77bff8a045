package main

import (
	"go/ast"
	"strings"
	"unicode"
)

// Words that are counted in comments. Many of them make a comment hard to read: a noun says more.
const (
	pronouns = "it its itself one ones those these who whom whose what that this which they them their theirs he " +
		"him his"
	nobody = "nobody nothing whoever whatever whichever whosoever"
)

// addWords counts the words in the comments of a file.
func (r *report) addWords(file *ast.File) {
	isPronoun, isNobody := wordSet(pronouns), wordSet(nobody)
	for _, group := range file.Comments {
		for _, word := range words(group.Text()) {
			r.words++
			if isPronoun[word] {
				r.pronouns++
			}
			if isNobody[word] {
				r.nobody++
			}
		}
	}
}

// perWords returns the pronouns per 100 words of comments, and nobody and its like per 1,000.
func (r *report) perWords() (pronouns, nobody float64) {
	n := float64(max(1, r.words))
	return 100 * float64(r.pronouns) / n, 1000 * float64(r.nobody) / n
}

// words returns the words of a text in lower case: letters and apostrophes that begin with a letter.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r != '\'' && (r > unicode.MaxASCII || !unicode.IsLetter(r))
	})
}

func wordSet(list string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
