// Command limits checks the limits on the source: lines of a file, of a function and of the root package, methods of a
// type, wide lines, and the words of comments. Files of tests do not count.
//
// Usage: limits DIRECTORY, with the root of the repository. It prints the figures and every limit that is broken, one a
// line, and ends with exit code 1 if there is one.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: limits DIRECTORY")
		os.Exit(2)
	}
	r, err := measure(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(2)
	}
	pronouns, nobody := r.perWords()
	fmt.Printf("wide lines %d, pronouns %.2f per 100 words of comments, nobody and its like %.2f per 1,000\n",
		len(r.wide), pronouns, nobody)
	broken := r.broken(today())
	for _, text := range broken {
		fmt.Println(text)
	}
	if len(broken) > 0 {
		os.Exit(1)
	}
}
