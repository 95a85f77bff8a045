// Package docrows reads the tables of docs/durability.md, for the tests that stand for their rows.
package docrows

import "strings"

// Steps are the first cells of the rows of three cells in text, by the title of the section that they stand in. The heads of
// tables, whose first cell is "step", are left out.
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
