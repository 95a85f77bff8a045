package console

import (
	"fmt"
	"time"
)

// Span returns a duration in at most four characters, without a second unit where that says little: 45s, 12m, 3h, 2d.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < 1000*24*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
	return fmt.Sprintf("%dy", int(d.Hours()/24/365))
}

// Size is a number of bytes in at most five characters: 512, 3.1K, 12M.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%c", f, "?KMGTP"[unit])
	}
	return fmt.Sprintf("%.0f%c", f, "?KMGTP"[unit])
}

// Count returns a number and a noun, in the plural unless the number is one.
func Count[N int | int64](n N, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
