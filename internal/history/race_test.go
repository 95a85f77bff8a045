//go:build race

package history

// raced says that the commands are built with the race detector, as the test was.
const raced = true
