// Package docrows reads the tables of docs/durability.md for the tests of their rows. Its own tests check all pages.
package docrows

import "strings"

// Steps returns the first cells of rows with three cells, by the title of their section. Heads of tables, with the
// first cell "step", are left out.
func Steps(text string) map[string][]string {
	steps := make(map[string][]string)
	section := ""
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
		}
		cells := strings.Split(line, " | ")
		if first := strings.TrimPrefix(cells[0], "| "); len(cells) == 3 && first != "step" {
			steps[section] = append(steps[section], first)
		}
	}
	return steps
}
