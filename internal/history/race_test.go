//go:build race

package history

// raced reports that the commands are built with the race detector, like the test.
const raced = true
