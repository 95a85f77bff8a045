package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/unbit/spoolgore"
)

// asWriter is the environment variable that makes the test binary a program that leaves a message in the spool given as
// its argument: with Put, written in place, or renamed out of tmp/. In the middle of the message it prints "half" and
// waits for the end of standard input. At the end it prints the name of the file.
const asWriter = "SPOOLGORE_TEST_AS_WRITER"

const (
	withPut    = "put"
	inPlace    = "in place"
	throughTmp = "through tmp"
)

// The two halves of a message. Each is longer than a write buffer.
var (
	firstHalf  = "From: app@example.com\nTo: ann@example.com\nSubject: hello\n\n" + strings.Repeat("first\n", 20_000)
	secondHalf = strings.Repeat("second\n", 20_000)
)

func writeOne(how, spool string) error {
	text := io.MultiReader(strings.NewReader(firstHalf), &pause{}, strings.NewReader(secondHalf))
	name, env := "message.eml", spoolgore.Envelope{From: "app@example.com", To: []string{"ann@example.com"}}
	var err error
	switch how {
	case withPut:
		name, err = spoolgore.New(spool, spoolgore.Options{}).Put(context.Background(), env, text)
	case inPlace:
		err = writeTo(filepath.Join(spool, name), text)
	case throughTmp:
		tmp := filepath.Join(spool, "tmp", name)
		if err = writeTo(tmp, text); err == nil {
			err = os.Rename(tmp, filepath.Join(spool, name))
		}
	}
	if err != nil {
		return err
	}
	fmt.Println(name)
	return nil
}

func writeTo(path string, text io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, text)
	return err
}

// pause is a reader without data. It ends when standard input ends.
type pause struct{ over bool }

func (p *pause) Read([]byte) (int, error) {
	if !p.over {
		p.over = true
		fmt.Println("half")
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	return 0, io.EOF
}
