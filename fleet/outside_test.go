package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// program returns the path of a program of another package. Without the program the test is skipped, or fails if CI is
// set.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	for _, dir := range []string{"/usr/bin/", "/usr/sbin/", ""} { // packages of Debian first
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing (Debian: apt-get install %s)", name, debian)
	}
	t.Skipf("%s is missing (Debian: apt-get install %s)", name, debian)
	return ""
}

// Hosts and workers connect through PgBouncer in transaction mode. Notifications do not pass, so workers poll.
func TestPgBouncer(t *testing.T) {
	is := is.New(t)
	path := program(t, "pgbouncer", "pgbouncer")
	server := shared.Server(t)
	direct := shared.DB(t)
	admin := open(t, Options{DB: direct})
	_, name := admin.store.Place()
	dir := t.TempDir()
	is.NoErr(os.Chmod(dir, 0o777)) // PgBouncer does not run as root
	is.NoErr(os.Chmod(filepath.Dir(dir), 0o755))
	config := filepath.Join(dir, "pgbouncer.ini")
	is.NoErr(os.WriteFile(config, fmt.Appendf(nil, "[databases]\n%s = host=%s user=spoolgore\n[pgbouncer]\npool_mode = transaction\n"+
		"listen_port = 6432\nlisten_addr =\nunix_socket_dir = %s\nauth_type = any\nlogfile = %s/log\n"+
		"default_pool_size = 3\nignore_startup_parameters = extra_float_digits\n", name, server.Dir, dir, dir), 0o644))
	cmd := exec.Command(path, "-q", "-u", "nobody", config)
	if os.Getuid() != 0 {
		cmd = exec.Command(path, "-q", config)
	}
	is.NoErr(cmd.Start())
	t.Cleanup(func() { kill(cmd) })
	url := "postgres://spoolgore@/" + name + "?host=" + dir + "&port=6432"
	eventually(t, "PgBouncer listens", func() bool {
		_, err := os.Stat(filepath.Join(dir, ".s.PGSQL.6432"))
		return err == nil
	})
	q := open(t, Options{DB: url})
	relay := &smtptest.Relay{}
	work(t, q, options(relay))
	work(t, open(t, Options{DB: url}), options(relay))
	const n = 200
	for i := range n {
		put(t, q, spoolgore.Envelope{}, mail(fmt.Sprint("m", i)))
	}
	eventually(t, "every message is sent", func() bool { return rows(t, admin) == 0 })
	put(t, q, spoolgore.Envelope{}, mail("later")) // while the workers are idle
	eventually(t, "the message is found by polling and sent", func() bool { return rows(t, admin) == 0 })
	is.Equal(len(relay.Messages()), n+1)
	for subject, times := range subjects(relay) {
		is.Equal(subject+fmt.Sprint(times), subject+"1")
	}
}

// Programs in other languages put mail inside of their own transactions.
func TestOtherLanguages(t *testing.T) {
	for _, tt := range []struct{ name, program, debian, script string }{
		{"psycopg", "python3", "python3-psycopg2", `
import sys, psycopg2
db = psycopg2.connect(host=sys.argv[1], dbname=sys.argv[2], user="spoolgore")
def put(subject):
    with db.cursor() as c:
        c.execute("SELECT spoolgore.put(%s, %s, %s, %s)", ("a@example.com", ["b@example.org"],
            "Subject: " + subject + "\nMessage-ID: <x@example.com>\n\nGr\u00fc\u00dfe\n", subject))
        return c.fetchone()[0]
put("rolled back"); db.rollback()
name = put("committed"); db.commit()
assert put("committed") == name; db.commit()
with db.cursor() as c:
    c.execute("SELECT spoolgore.put(%s, %s, %s::bytea)", ("a@example.com", ["b@example.org"],
        psycopg2.Binary(b"Subject: bytes\n\n\xff\x00\n")))
db.commit()
`},
		{"php", "php", "php-cli php-pgsql", `<?php
$db = pg_connect("host=" . $argv[1] . " dbname=" . $argv[2] . " user=spoolgore");
function put($db, $subject) {
    $r = pg_query_params($db, 'SELECT spoolgore.put($1, $2, $3::text, $4)', ['a@example.com', '{b@example.org}',
        "Subject: $subject\nMessage-ID: <x@example.com>\n\nGr\u{fc}\u{df}e\n", $subject]);
    if (!$r) exit(1);
    return pg_fetch_result($r, 0, 0);
}
pg_query($db, 'BEGIN'); put($db, 'rolled back'); pg_query($db, 'ROLLBACK');
pg_query($db, 'BEGIN'); $name = put($db, 'committed'); pg_query($db, 'COMMIT');
if (put($db, 'committed') !== $name) exit(2);
$r = pg_query_params($db, 'SELECT spoolgore.put($1, $2, $3::bytea)', ['a@example.com', '{b@example.org}',
    pg_escape_bytea($db, "Subject: bytes\n\n\xff\x00\n")]);
if (!$r) exit(3);
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			path := program(t, tt.program, tt.debian)
			q := open(t, Options{})
			host, name := q.store.Place()
			script := filepath.Join(t.TempDir(), "script")
			is.NoErr(os.WriteFile(script, []byte(tt.script), 0o600))
			out, err := exec.Command(path, script, host, name).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			is.Equal(rows(t, q), 2)
			relay := &smtptest.Relay{}
			work(t, q, options(relay))
			eventually(t, "both messages are sent", func() bool { return rows(t, q) == 0 })
			is.Equal(subjects(relay), map[string]int{"committed b@example.org": 1, "bytes b@example.org": 1})
		})
	}
}
