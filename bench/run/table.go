//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A result has the values of one measurement, in the order of the columns.
type result []value

// A value is one number of a result.
type value struct {
	column string
	number float64 // NaN: not known
	digits int     // behind the point
}

func (v value) text() string {
	if math.IsNaN(v.number) {
		return "-"
	}
	return strconv.FormatFloat(v.number, 'f', v.digits, 64)
}

// String is for the log.
func (r result) String() string {
	var parts []string
	for _, v := range r {
		parts = append(parts, v.column+" "+v.text())
	}
	return strings.Join(parts, ", ")
}

// medians returns the median of each value in rs, which is not empty. All of rs have the same columns.
func medians(rs []result) result {
	middle := slices.Clone(rs[0])
	for i := range middle {
		var numbers []float64
		for _, r := range rs {
			numbers = append(numbers, r[i].number)
		}
		slices.Sort(numbers)
		middle[i].number = numbers[(len(numbers)-1)/2]
	}
	return middle
}

// printTable prints a Markdown table with a row for each peer that has results.
func printTable(out io.Writer, title string, peers []peer, results map[string][]result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", title)
	head := false
	for _, p := range peers {
		rs := results[p.name]
		if len(rs) == 0 {
			continue
		}
		row := medians(rs)
		if !head {
			b.WriteString("| peer |")
			for _, v := range row {
				b.WriteString(" " + v.column + " |")
			}
			b.WriteString("\n|---|" + strings.Repeat("---:|", len(row)) + "\n")
			head = true
		}
		b.WriteString("| " + p.name + " |")
		for _, v := range row {
			b.WriteString(" " + v.text() + " |")
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}
