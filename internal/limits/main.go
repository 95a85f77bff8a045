// Command limits checks the limits on the size of the root package and of the packages of the trunk: lines of a file,
// of a function and of all files of the root, columns of a line, methods of a type. Files of tests do not count.
//
// Usage: limits DIRECTORY, with the root of the repository. It prints every limit that is broken, one a line, and
// ends with exit code 1 if there is one.
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
	broken, err := check(os.Args[1], repository)
	if err != nil {
		fmt.Fprintln(os.Stderr, "limits:", err)
		os.Exit(2)
	}
	for _, text := range broken {
		fmt.Println(text)
	}
	if len(broken) > 0 {
		os.Exit(1)
	}
}
