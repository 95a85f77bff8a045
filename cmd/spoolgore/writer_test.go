package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/unbit/spoolgore"
)

// asWriter is the environment variable that makes the test binary a program that puts a message into the spool named there,
// and says how it is called.
const asWriter = "SPOOLGORE_TEST_AS_WRITER"

func putOne(spool string) int {
	env := spoolgore.Envelope{From: "app@example.com", To: []string{"ann@example.com"}}
	name, err := spoolgore.New(spool, spoolgore.Options{}).Put(context.Background(), env, strings.NewReader("Subject: hello\n\nbody\n"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(name)
	return 0
}
