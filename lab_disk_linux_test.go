package spoolgore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unbit/spoolgore/internal/fsys/fsystest"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// labMail is a message of the lab tests.
type labMail struct {
	name    string // first name of its file, and the word in its body
	to      []string
	id      bool // it has a Message-ID
	version int
}

// text is the message file. Each line of the body says to which message, version and place it belongs.
func (m *labMail) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: s@x.org\nTo: %s\nSubject: %s\n", strings.Join(m.to, ", "), m.name)
	if m.id {
		fmt.Fprintf(&b, "Message-ID: <%s@x.org>\n", m.name)
	}
	b.WriteString("\n")
	const lines = 40
	for i := range lines {
		fmt.Fprintf(&b, "labmail %s %d %d %d\n", m.name, m.version, i, lines)
	}
	return b.String()
}

// lab is a spool on a recorded directory, with its relay and the records of the test.
type lab struct {
	t     *testing.T
	rnd   *rand.Rand
	disk  *fsystest.Disk
	spool *Spool
	stop  func() error
	ended chan struct{} // closed when Run has returned

	mu        sync.Mutex
	accepting bool // every recipient is accepted
	offers    map[string]int
	mails     map[string]*labMail
	before    map[string]int // acceptances before the power cut, by message and recipient
	after     map[string]int
	broken    []string // contents with errors that the relay got

	unsettled map[string]int // acceptances of this run without an event so far
	forgiven  map[string]int // acceptances that may be repeated once
}

func newLab(t *testing.T, seed uint64, disk *fsystest.Disk) *lab {
	return &lab{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), disk: disk,
		offers: make(map[string]int), mails: make(map[string]*labMail),
		before: make(map[string]int), after: make(map[string]int), forgiven: make(map[string]int),
	}
}

// Deliver is the relay: recipients whose address begins with no are refused, and those with later are deferred twice.
func (l *lab) Deliver(_ context.Context, tx *Transaction) []Result {
	name, err := readLabMail(tx)
	time.Sleep(20 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	results := make([]Result, len(tx.To))
	switch {
	case errors.Is(err, errLabRead):
		for i := range results {
			results[i].Err = &DeliveryError{Fault: FaultMessage, Op: "data", Err: err}
		}
		return results
	case err != nil:
		l.broken = append(l.broken, err.Error())
	case name == "": // a report
		return results
	}
	for i, to := range tx.To {
		key := name + " " + to
		l.offers[key]++
		switch {
		case l.accepting:
		case strings.HasPrefix(to, "no"):
			results[i].Err = refused()
		case strings.HasPrefix(to, "later") && l.offers[key] <= 2:
			results[i].Err = errLater
		}
		if results[i].Err == nil {
			l.after[key]++
			l.unsettled[key]++
			l.disk.Mark("accepted", key)
		}
	}
	return results
}

var errLabRead = errors.New("content cannot be read")

// readLabMail returns the name of the message, empty for a report, and an error if lines are missing or of two
// versions.
func readLabMail(tx *Transaction) (name string, err error) {
	lines, version, next, total := bufio.NewScanner(tx.Content()), "", 0, 0
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "labmail ")
		if !ok {
			continue
		}
		f := strings.Fields(rest)
		if len(f) != 4 {
			return name, fmt.Errorf("%s: line %q", tx.Name, rest)
		}
		if next == 0 {
			name, version = f[0], f[1]
			total, _ = strconv.Atoi(f[3])
		}
		if f[0] != name || f[1] != version || f[2] != strconv.Itoa(next) {
			return name, fmt.Errorf("%s: line %q is not line %d of %s version %s", tx.Name, rest, next, name, version)
		}
		next++
	}
	if lines.Err() != nil {
		return name, errors.Join(errLabRead, lines.Err())
	}
	if next != total || next == 0 && tx.From != "" {
		return name, fmt.Errorf("%s: %d lines of %d", tx.Name, next, total)
	}
	return name, nil
}

func (l *lab) event(ev Event) {
	if ev.Kind == EventSent {
		l.disk.Mark("sent", filepath.Base(ev.File)+" "+ev.To)
		l.mu.Lock()
		delete(l.unsettled, filepath.Base(ev.File)+" "+ev.To)
		l.mu.Unlock()
	}
}

// forgive allows a second copy for each acceptance of this run without an event: the errors lasted until the end of the
// run, so that the acceptance could not be recorded, and the log says so.
func (l *lab) forgive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.unsettled {
		l.forgiven[key] += n
		l.disk.Mark("unrecorded", key)
	}
}

// start runs the spool. It returns an error if the run has ended already.
func (l *lab) start() error {
	s := New(l.disk.Path("."), Options{
		Transport: l, OnEvent: l.event, Logger: slog.New(&atLog{
			slog.DiscardHandler, "acceptances cannot be recorded; messages may be sent again", l.forgive,
		}), Freq: time.Second, Concurrency: 2,
		Backoff: func(int) time.Duration { return 20 * time.Second },
	})
	if s.dir, s.dirErr = spooldir.NewOn(l.disk.Path("."), l.disk); s.dirErr != nil {
		return s.dirErr
	}
	s.opts.Watch = WatchOff
	l.mu.Lock()
	l.unsettled = make(map[string]int)
	l.mu.Unlock()
	ctx, cancel := context.WithCancel(l.t.Context())
	done, ended := make(chan error, 1), make(chan struct{})
	go func() {
		done <- s.Run(ctx)
		close(ended)
	}()
	l.spool, l.ended = s, ended
	l.stop = func() error { cancel(); return <-done }
	synctest.Wait()
	select {
	case <-ended:
		cancel()
		return <-done
	default:
		return nil
	}
}

// put adds a new message: by Put, or as a program that syncs the file and sometimes the directory.
func (l *lab) put() {
	n := len(l.mails) + 1
	m := &labMail{name: fmt.Sprintf("m%d", n), id: l.rnd.IntN(4) > 0, version: 1}
	kinds := []string{"ok", "ok", "no", "later"}
	for i := range 1 + l.rnd.IntN(3) {
		m.to = append(m.to, fmt.Sprintf("%s%d@y.org", kinds[l.rnd.IntN(len(kinds))], i))
	}
	l.mu.Lock()
	l.mails[m.name] = m
	l.mu.Unlock()
	hands := l.disk.Hands()
	if l.rnd.IntN(3) == 0 {
		dir, err := spooldir.NewOn(l.disk.Path("."), hands)
		check(l.t, err)
		l.disk.Mark("putting", m.name)
		_, err = dir.Put(func(w io.Writer) error { _, err := io.WriteString(w, m.text()); return err })
		check(l.t, err)
		l.disk.Mark("acknowledged", m.name)
		return
	}
	l.write("tmp/"+m.name, m.text())
	check(l.t, hands.Rename(l.disk.Path("tmp/"+m.name), l.disk.Path(m.name)))
	if l.rnd.IntN(3) > 0 {
		check(l.t, hands.SyncDir(l.disk.Path(".")))
		l.disk.Mark("acknowledged", m.name)
	}
}

// write writes and syncs a file.
func (l *lab) write(name, text string) {
	f, err := l.disk.Hands().OpenFile(l.disk.Path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	check(l.t, err)
	_, err = f.Write([]byte(text))
	check(l.t, err)
	check(l.t, f.Sync())
	check(l.t, f.Close())
}

// names lists the messages in a place.
func (l *lab) names(place string) []string {
	entries, _ := os.ReadDir(l.disk.Path(place))
	var names []string
	for _, e := range entries {
		if n := e.Name(); n[0] != '.' && !e.IsDir() && !strings.HasSuffix(n, ".json") {
			names = append(names, n)
		}
	}
	return names
}

// mv moves a message as an operator does: without a sync. The move fails if the daemon was faster.
func (l *lab) mv(from, to, name string) {
	var again *labMail
	if from == "failed" {
		again = l.changedAfterSent(name)
	}
	old, moved := l.disk.Path(filepath.Join(from, name)), l.disk.Path(filepath.Join(to, name))
	if err := l.disk.Hands().RenameNew(old, moved); err == nil {
		l.disk.Mark("moved", filepath.Join(from, name))
		if again != nil {
			l.sendAgain(again)
		}
	}
}

// changedAfterSent returns the message name in failed/ if it is there because its file changed after every recipient had
// accepted it; otherwise nil. An operator who moves such a message back sends it to all recipients again.
func (l *lab) changedAfterSent(name string) *labMail {
	why, _ := os.ReadFile(l.disk.Path("failed/" + name + ".json"))
	text, _ := os.ReadFile(l.disk.Path("failed/" + name))
	_, rest, ok := strings.Cut(string(text), "\nlabmail ")
	if !ok || !strings.Contains(string(why), "changed after it was sent") {
		return nil
	}
	id, _, _ := strings.Cut(rest, " ")
	return l.mails[id]
}

// sendAgain allows a second copy for each recipient of m.
func (l *lab) sendAgain(m *labMail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, to := range m.to {
		l.forgiven[m.name+" "+to]++
	}
	l.disk.Mark("to all", m.name)
}

// edit replaces a held message that has a Message-ID by another version.
func (l *lab) edit(name string) {
	m := l.mails[name]
	if m == nil || !m.id {
		return
	}
	m.version++
	l.write("tmp/edited", m.text())
	check(l.t, l.disk.Hands().Rename(l.disk.Path("tmp/edited"), l.disk.Path("hold/"+name)))
}

// step does one random operation of a program or an operator.
func (l *lab) step() {
	pick := func(place string) string {
		names := l.names(place)
		if len(names) == 0 {
			return ""
		}
		return names[l.rnd.IntN(len(names))]
	}
	switch l.rnd.IntN(12) {
	case 0, 1, 2, 3, 4:
		l.put()
	case 5:
		if n := pick("."); n != "" {
			l.mv(".", "hold", n)
		}
	case 6:
		if n := pick("hold"); n != "" {
			if l.rnd.IntN(2) == 0 {
				l.edit(n)
			}
			l.mv("hold", ".", n)
		}
	case 7, 8:
		if n := pick("failed"); n != "" {
			l.mu.Lock()
			l.accepting = l.rnd.IntN(2) == 0
			l.mu.Unlock()
			l.mv("failed", ".", n)
		}
	case 9:
		if n := pick("."); n != "" {
			_ = l.disk.Hands().Touch(l.disk.Path(n))
		}
	case 10:
		l.mu.Lock()
		l.accepting = false
		l.mu.Unlock()
	case 11:
		check(l.t, l.stop())
		for l.start() != nil { // only with injected errors; a service manager starts it again
			time.Sleep(5 * time.Second)
		}
	}
	waits := []int{10, 30, 300, 2000, 25000} // milliseconds
	pass(time.Duration(waits[l.rnd.IntN(len(waits))]) * time.Millisecond)
}

// finish runs the spool for some time. Then the operator moves every message back from failed/ and hold/, and the relay
// accepts everything.
func (l *lab) finish() (problems []string) {
	run := func(d time.Duration) {
		if err := l.start(); err != nil {
			problems = append(problems, "error: start: "+err.Error())
			return
		}
		pass(d)
		if err := l.stop(); err != nil {
			problems = append(problems, "error: Run: "+err.Error())
		}
	}
	run(5 * time.Minute)
	l.mu.Lock()
	l.accepting = true
	l.mu.Unlock()
	for range 2 {
		for _, place := range []string{"failed", "hold"} {
			for _, name := range l.names(place) {
				l.mv(place, ".", name)
			}
		}
		run(10 * time.Minute)
	}
	for _, name := range l.names(".") {
		problems = append(problems, "stuck: "+name)
	}
	for _, text := range l.broken {
		problems = append(problems, "broken: "+text)
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

// verdict compares the acceptances of the relay with the expected ones. The messages due must not be lost; mayRepeat
// reports whether a recipient that accepted before the cut may get the message once more.
func (l *lab) verdict(due []string, mayRepeat func(key string) bool) (problems []string) {
	for _, name := range due {
		for _, to := range l.mails[name].to {
			if key := name + " " + to; l.before[key]+l.after[key] == 0 {
				problems = append(problems, "lost: "+key)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.after)) {
		if l.after[key]-l.forgiven[key] > 1 || mayRepeat != nil && l.before[key] > 0 && l.after[key] > 0 && !mayRepeat(key) {
			problems = append(problems, fmt.Sprintf("twice: %s: %d before, %d after", key, l.before[key], l.after[key]))
		}
	}
	return problems
}
