package smtplisten

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// The user is found by the socket at the other end of the connection, as long as a process has it open. Sockets of
// other users can have the same local address, and a closed socket is listed with the owner 0.
func TestUserOfAConnection(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	row := func(local, remote, state, uid, inode string) string {
		return "   0: " + local + " " + remote + " " + state + " 00000000:00000000 00:00000000 00000000 " + uid + " 0 " +
			inode + " 1 0000000000000000 20 4 30 10 -1\n"
	}
	const client, server, other = "0100007F:9C40", "0100007F:09DD", "0100007F:0019"
	for name, tt := range map[string]struct{ table, want string }{
		"open":                     {row(client, server, "01", "1000", "77"), "1000"},
		"another remote first":     {row(client, other, "01", "1001", "78") + row(client, server, "01", "1000", "77"), "1000"},
		"another remote only":      {row(client, other, "01", "1001", "78"), ""},
		"listener of another user": {row(client, "00000000:0000", "0A", "1001", "78") + row(client, server, "01", "1000", "77"), "1000"},
		"closed by the client":     {row(client, server, "05", "0", "0"), ""},
		"time wait":                {row(client, other, "06", "0", "0") + row(client, server, "01", "1000", "77"), "1000"},
		"the end of the server":    {row(server, client, "01", "999", "79"), ""},
		"root":                     {row(client, server, "01", "0", "77"), "0"},
	} {
		t.Run(name, func(t *testing.T) {
			is.New(t).Equal(findOwner(strings.NewReader(head+tt.table), client, server), tt.want)
		})
	}
}

// The units of the package have ProcSubset=pid and ProtectProc=invisible, which hide /proc/net. The user is found all the
// same.
func TestUserIsFoundInTheSandboxOfTheUnits(t *testing.T) {
	const inSandbox = "SPOOLGORE_TEST_IN_SANDBOX"
	if os.Getenv(inSandbox) == "" {
		const mount = "mount -t proc -o subset=pid,hidepid=invisible proc /proc || exit 77; exec \"$@\""
		cmd := exec.Command("unshare", "--mount", "sh", "-c", mount, "sh", os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inSandbox+"=1")
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && strings.Contains(string(out), "FAIL") {
			t.Fatalf("%s", out)
		}
		if err != nil {
			t.Skipf("needs root, unshare(1) and Linux 5.8: %v %s", err, out)
		}
		return
	}
	is := is.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	is.NoErr(err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	is.NoErr(err)
	defer client.Close()
	nc, err := l.Accept()
	is.NoErr(err)
	defer nc.Close()
	is.Equal(UserOf(nc), strconv.Itoa(os.Getuid()))
}

// A user of this host can use many loopback addresses, and counts as one client.
func TestAUserCountsOnceWithManyAddresses(t *testing.T) {
	is := is.New(t)
	addr := listen(t, &box{})
	for i := range maxPerClient + 1 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i))}}
		nc, err := dialer.Dial("tcp", addr)
		is.NoErr(err)
		t.Cleanup(func() { nc.Close() })
		greeting, err := bufio.NewReader(nc).ReadString('\n')
		is.NoErr(err)
		want := "220"
		if i == maxPerClient {
			want = "421 4.3.2"
		}
		is.True(strings.HasPrefix(greeting, want))
	}
}
