package message

import (
	"flag"
	"net/mail"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jhillyerd/enmime/v2"
	"github.com/matryer/is"
)

// update makes the tests write the files in testdata again. Check each changed line.
var update = flag.Bool("update", false, "write testdata/fields.txt and testdata/shim.txt anew")

// readTable returns the lines of a file in testdata, cut at tabs. A line that begins with '#' is a comment.
func readTable(t testing.TB, name string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return rows
}

// fields returns the 300 values in testdata/fields.txt, and the expected reading of each.
func fields(t testing.TB) (values, readings []string) {
	t.Helper()
	for _, row := range readTable(t, "fields.txt") {
		value, err := strconv.Unquote(row[0])
		if err != nil {
			t.Fatalf("%s: %v", row[0], err)
		}
		values, readings = append(values, value), append(readings, strings.Join(row[1:], "\t"))
	}
	return values, readings
}

// read returns the addresses in a To field as the daemon reads it, or with a nil Parser as sendmail-spool does.
func read(t testing.TB, parse Parser, value string) []Address {
	t.Helper()
	h := headerOf(t, "To: "+value+"\n\n")
	h.Parser = parse
	return h.Addresses().To
}

func good(list []Address) (addrs []string) {
	for _, a := range list {
		if a.Err == nil {
			addrs = append(addrs, a.Addr)
		}
	}
	return addrs
}

// TestFields: each of 300 fields is offered to enmime as a whole first, and is read as the table says.
func TestFields(t *testing.T) {
	is := is.New(t)
	values, readings := fields(t)
	is.Equal(len(values), 300)
	offered := 0
	for i, value := range values {
		first := true
		got := show(read(t, func(list string) ([]*mail.Address, error) {
			if whole := headerOf(t, "To: "+value+"\n\n").Get("To"); first && list == hide(whole) {
				offered++
			}
			first = false
			return enmime.ParseAddressList(list)
		}, value))
		if got = strings.Trim(strconv.Quote(got), `"`); *update {
			readings[i] = got
		}
		if got != readings[i] {
			t.Errorf("%q:\n got %s\nwant %s", value, got, readings[i])
		}
	}
	is.Equal(offered, 300)
	if *update {
		writeFields(t, values, readings)
	}
}

func writeFields(t *testing.T, values, readings []string) {
	var b strings.Builder
	b.WriteString("# Values of address fields as programs and people write them, and how Spoolgore reads each: addresses, and with ! what\n" +
		"# fails alone and why.\n")
	for i, value := range values {
		b.WriteString(strconv.Quote(value) + "\t" + readings[i] + "\n")
	}
	if err := os.WriteFile("testdata/fields.txt", []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestShimReadsTheSame: sendmail-spool has no enmime. On the 300 fields it reads the addresses that the daemon reads;
// testdata/shim.txt lists the fields where it reads more, because it completes names without a domain.
func TestShimReadsTheSame(t *testing.T) {
	is := is.New(t)
	values, _ := fields(t)
	var differences []string
	for _, value := range values {
		daemon := read(t, enmime.ParseAddressList, value)
		is.Equal(show(read(t, nil, value)), show(daemon)) // without enmime
		shim := read(t, nil, Qualify(value, "host.example"))
		for _, addr := range good(daemon) {
			is.True(slices.Contains(good(shim), addr)) // every recipient of the daemon is also one of sendmail-spool
		}
		if show(shim) != show(daemon) {
			differences = append(differences, strconv.Quote(value)+"\t"+strings.Trim(strconv.Quote(show(shim)), `"`))
		}
		for _, addr := range good(shim) {
			is.True(slices.Contains(good(daemon), addr) || strings.HasSuffix(addr, "@host.example"))
		}
	}
	if *update {
		text := "# Fields of fields.txt in which sendmail-spool completes a name without a domain (here: host.example), and how it reads them.\n" +
			"# All other fields it reads as the daemon does.\n" + strings.Join(differences, "\n") + "\n"
		is.NoErr(os.WriteFile("testdata/shim.txt", []byte(text), 0o666))
	}
	var listed []string
	for _, row := range readTable(t, "shim.txt") {
		listed = append(listed, strings.Join(row, "\t"))
	}
	is.Equal(differences, listed)
}

// compare returns the kind of the difference between what net/mail and Spoolgore read in a list; empty: there is none.
func compare(value string) (kind string) {
	ours := parseListBy(enmime.ParseAddressList, value)
	theirs, err := mail.ParseAddressList(hide(value))
	if err != nil {
		if len(good(ours)) == 0 {
			return ""
		}
		words := strings.SplitN(err.Error(), ":", 3)
		return "net/mail:" + words[1]
	}
	if len(ours) != len(theirs) {
		return "another number of addresses"
	}
	for i, a := range ours {
		addr := restore(Requote(theirs[i].Address))
		switch {
		case a.Err != nil && strings.HasPrefix(a.Err.Error(), "holds U+"):
			return "holds an invisible character"
		case a.Err != nil:
			return a.Err.Error()
		case a.Addr == addr:
		case len(a.Addr) < len(addr) && strings.Contains(addr, a.Addr), isBetweenQuotes(a.Addr, addr):
			return "quotes that are not those of RFC 5322"
		default:
			return "another address"
		}
	}
	return ""
}

// isBetweenQuotes reports whether addr is the address in quoted, between quotes that are not those of RFC 5322.
func isBetweenQuotes(addr, quoted string) bool {
	inner, ok := withoutQuotes(quoted)
	canonical, err := Canonical(inner)
	return ok && err == nil && addr == canonical
}

// differences returns the kinds of testdata/differences.txt.
func differences(t testing.TB) map[string]bool {
	kinds := map[string]bool{}
	for _, row := range readTable(t, "differences.txt") {
		kinds[row[0]] = true
	}
	return kinds
}

// TestDifferences: each line of testdata/differences.txt has an example of its kind, and what Spoolgore reads in it.
// All differences on the 300 fields are listed.
func TestDifferences(t *testing.T) {
	is := is.New(t)
	for _, row := range readTable(t, "differences.txt") {
		is.Equal(len(row), 3) // a kind, an example, and the reading
		value, err := strconv.Unquote(row[1])
		is.NoErr(err)
		is.Equal(compare(value), row[0])
		is.Equal(show(parseListBy(enmime.ParseAddressList, value)), row[2])
	}
	kinds := differences(t)
	values, _ := fields(t)
	for _, value := range values {
		if kind := compare(headerOf(t, "To: "+value+"\n\n").Get("To")); kind != "" && !kinds[kind] {
			t.Errorf("%q: %s", value, kind)
		}
	}
}

// FuzzDifferences: Spoolgore reads a list as net/mail does, but for the differences in testdata/differences.txt; and
// with enmime as without.
func FuzzDifferences(f *testing.F) {
	values, _ := fields(f)
	for _, value := range append(values, "“.0@0”") {
		f.Add(value)
	}
	kinds := differences(f)
	f.Fuzz(func(t *testing.T, value string) {
		if kind := compare(value); kind != "" && !kinds[kind] {
			t.Errorf("%q: %s: net/mail reads it another way than %s", value, kind, show(parseListBy(enmime.ParseAddressList, value)))
		}
		if daemon, shim := good(parseListBy(enmime.ParseAddressList, value)), good(parseList(value)); !slices.Equal(daemon, shim) {
			t.Errorf("%q: %v with enmime, %v without", value, daemon, shim)
		}
	})
}
