package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgtest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	shared.Close()
	os.Exit(code)
}

// A spool is drained into the queue, and its message is listed, held, released and deleted.
func TestCommands(t *testing.T) {
	is := is.New(t)
	db, dir := shared.DB(t), t.TempDir()
	call := func(args ...string) (string, error) {
		var out strings.Builder
		err := run(t.Context(), append([]string{"-db", db, "-name", "h1"}, args...), &out)
		return out.String(), err
	}
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	_, err := spoolgore.New(dir, spoolgore.Options{}).Put(t.Context(), env, strings.NewReader("Subject: x\n\nx\n"))
	is.NoErr(err)
	_, err = call("drain", dir)
	is.NoErr(err)
	out, err := call("list")
	is.NoErr(err)
	name, rest, _ := strings.Cut(out, "\t")
	is.True(strings.HasPrefix(rest, "ready\th1\t"))
	for _, step := range []struct{ act, state string }{{"hold", "held"}, {"release", "ready"}} {
		_, err = call(step.act, name)
		is.NoErr(err)
		out, err = call("list")
		is.NoErr(err)
		is.True(strings.Contains(out, "\t"+step.state+"\t"))
	}
	_, err = call("delete", name)
	is.NoErr(err)
	out, err = call("list")
	is.NoErr(err)
	is.Equal(out, "")
	_, err = call("delete", name)
	is.True(err != nil) // gone
	out, err = call("hosts")
	is.NoErr(err)
	is.Equal(out, "") // no worker
}

func TestWrongUsage(t *testing.T) {
	is := is.New(t)
	for _, args := range [][]string{{}, {"-nonsense"}} {
		is.True(errors.Is(run(context.Background(), args, &strings.Builder{}), errUsage))
	}
	var out strings.Builder
	is.NoErr(run(context.Background(), []string{"schema"}, &out))
	is.True(strings.Contains(out.String(), "CREATE SCHEMA"))
}
