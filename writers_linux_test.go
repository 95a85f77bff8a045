package spoolgore

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// writers are shell scripts that bring the message $M into the spool, their working directory, as the file $N. Each row
// of the table in docs/spool.md has a script, and there are scripts of other programs. The daemon may be faster than
// a script: a file with a usable name may be gone.
var writers = map[string]string{
	"renamed from tmp":             `cat "$M" >tmp/$N; mv tmp/$N $N`,
	"linked from tmp":              `cat "$M" >tmp/$N; ln tmp/$N $N; rm tmp/$N`,
	"linked, then renamed over it": `cat "$M" >tmp/$N; ln tmp/$N $N; perl -e 'rename "tmp/$ARGV[0]", $ARGV[0]' $N; rm -f tmp/$N`,
	"renamed in the spool":         `cat "$M" >$N.tmp; mv $N.tmp $N.eml`,
	"renamed from a dot name":      `cat "$M" >.$N.Xa4fQz; mv .$N.Xa4fQz $N`,
	"renamed twice":                `cat "$M" >$N.part; mv $N.part $N.new; mv $N.new $N || test ! -e $N.new`,
	"renamed to and fro":           `cat "$M" >tmp/$N; mv tmp/$N $N; mv $N $N~ && mv $N~ $N || test ! -e $N`,
	"held and released":            `cat "$M" >tmp/$N; mv tmp/$N hold/$N; mv hold/$N $N`,
	"held under another name":      `cat "$M" >tmp/$N; mv tmp/$N $N; mv $N hold/$N.x && mv hold/$N.x $N.y || test ! -e $N`,
	"linked and unlinked":          `cat "$M" >tmp/$N; mv tmp/$N $N; ln $N $N.2 && rm $N || test ! -e $N`,
	"moved away and back":          `cat "$M" >tmp/$N; mv tmp/$N $N; mv $N tmp/$N && mv tmp/$N $N || test ! -e $N`,
	"moved over the old version":   `cat "$M" >tmp/$N; mv tmp/$N $N; cat "$M" >tmp/$N; mv -f tmp/$N $N`,

	"one redirection":             `cat "$M" >$N`,
	"three redirections":          `head -n 4 "$M" >$N; sed -n 5,7p "$M" >>$N; tail -n +8 "$M" >>$N`,
	"a redirection for each line": `while IFS= read -r line; do printf '%s\n' "$line" >>$N; done <"$M"`,
	"a group":                     `{ head -n 4 "$M"; tail -n +5 "$M"; } >$N`,
	"tee":                         `tee $N <"$M" >/dev/null`,
	"tee -a":                      `head -n 4 "$M" | tee $N >/dev/null; tail -n +5 "$M" | tee -a $N >/dev/null`,
	"dd in small blocks":          `dd if="$M" of=$N bs=16 2>/dev/null`,
	"dd from the end":             `n=$(wc -c <"$M"); dd if="$M" of=$N bs=1 skip=60 seek=60 2>/dev/null; dd if="$M" of=$N bs=1 count=60 conv=notrunc 2>/dev/null`,
	"made long first":             `truncate -s $(wc -c <"$M") $N; cat "$M" 1<>$N >&1`,
	"made empty first":            `touch $N; touch $N; cat "$M" >$N`,
	"cp":                          `cp "$M" $N`,
	"cp -p":                       `touch -d '2 days ago' "$M"; cp -p "$M" $N`,
	"cp into tmp, then mv -n":     `cp "$M" tmp/$N; mv -n tmp/$N $N`,
	"install":                     `install -m 600 "$M" $N`,
	"tar":                         `cp "$M" tmp/$N.d; (cd tmp; tar cf - --transform 's/.*/'$N/ $N.d) | tar xf -; rm tmp/$N.d`,
	"cpio":                        `cp "$M" "$M.x"; (cd "$(dirname "$M")"; mv "$(basename "$M").x" $N; echo $N | cpio -o 2>/dev/null) | cpio -i 2>/dev/null`,
	"awk":                         `awk -v f=$N '{ print >>f; close(f) }' "$M"`,
	"ed":                          `printf 'r %s\nw %s\nq\n' "$M" $N | ed -s`,
	"sed -i before it is read":    `sed 's/hello/hallo/' "$M" >$N; sed -i 's/hallo/hello/' $N`,
	"perl -i before it is read":   `sed 's/hello/hallo/' "$M" >$N; perl -i -pe 's/hallo/hello/' $N`,
	"perl, rename":                `perl -e 'local $/; open F, ">", "tmp/$ARGV[1]"; open M, "<", $ARGV[0]; print F <M>; close F; rename "tmp/$ARGV[1]", $ARGV[1]' "$M" $N`,
	"python, os.replace":          `python3 -c 'import os,sys,tempfile; f=tempfile.NamedTemporaryFile("w",dir=".",delete=False); f.write(open(sys.argv[1]).read()); f.close(); os.replace(f.name, sys.argv[2])' "$M" $N`,
	"python, pathlib":             `python3 -c 'import pathlib,sys; pathlib.Path(sys.argv[2]).write_text(pathlib.Path(sys.argv[1]).read_text())' "$M" $N`,
	"python, shutil.move":         `python3 -c 'import shutil,sys; shutil.copy2(sys.argv[1], sys.argv[1]+".c"); shutil.move(sys.argv[1]+".c", sys.argv[2])' "$M" $N`,
	"python, mmap":                `python3 -c 'import mmap,sys; t=open(sys.argv[1],"rb").read(); f=open(sys.argv[2],"w+b"); f.truncate(len(t)); m=mmap.mmap(f.fileno(),0); m[:]=t; m.flush(); m.close(); f.close()' "$M" $N`,
	"python, an unnamed file":     `python3 -c 'import os,sys; f=os.open(".",os.O_TMPFILE|os.O_RDWR,0o600); os.write(f,open(sys.argv[1],"rb").read()); os.link("/proc/self/fd/%d"%f,sys.argv[2],src_dir_fd=0)' "$M" $N`,
	"chmod and chown afterwards":  `cat "$M" >$N; chmod 640 $N; chown "$(id -u)" $N; touch -a $N`,
	"Emacs":                       `ln -s user@host.1 .#$N; cat "$M" >"#$N#"; cat "$M" >$N; rm "#$N#" .#$N`,
	"vim":                         `: >.$N.swp; : >4913-$N; rm 4913-$N; cat "$M" >$N; rm .$N.swp`,
	"a backup beside it":          `cat "$M" >$N; cp $N $N~; cp $N $N.tmp`,
	"a download":                  `head -n 6 "$M" >$N.crdownload; tail -n +7 "$M" >>$N.crdownload; mv $N.crdownload $N`,
	"WinSCP":                      `cat "$M" >$N.filepart; rm -f $N; mv $N.filepart $N`,
	"WinSCP by link":              `cat "$M" >$N.filepart; ln $N.filepart $N; rm $N.filepart`,
}

// available reports whether the programs that a script needs are there.
func available(script string) bool {
	for _, program := range []string{"python3", "perl", "ed ", "cpio", "tar "} {
		if _, err := exec.LookPath(strings.TrimSpace(program)); err != nil && strings.Contains(script, program) {
			return false
		}
	}
	return true
}

// runScript runs a script of writers or editors in dir. The file m has the message, and $N is name.
func runScript(dir, script, m, name string) error {
	sh := exec.Command("sh", "-ec", script)
	sh.Dir, sh.Env = dir, append(os.Environ(), "M="+m, "N="+name)
	if out, err := sh.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// body returns the body of the message of script i. It is long enough for more than one write.
func body(i int) string { return strings.Repeat(fmt.Sprintf("hello, number %d\n", i), 40) + "end\n" }

// A message of any program, however it is written, is sent once and complete.
func TestWriters(t *testing.T) {
	t.Parallel()
	dir, relay := t.TempDir(), &smtptest.Relay{}
	// A busy machine may take long from one command of a script to the next.
	_, stop := start(t, dir, Options{Dial: relay.Dial, Freq: time.Second, Settle: 5 * time.Second})
	defer stop()
	soon(t, "the directories are made", func() bool { return exists(dir, "tmp") && exists(dir, "hold") })
	names := slices.Sorted(maps.Keys(writers))
	names = slices.DeleteFunc(names, func(name string) bool { return !available(writers[name]) })
	for i, name := range names {
		m := filepath.Join(t.TempDir(), "message")
		text := fmt.Sprintf("From: s@x.org\nTo: a%d@x.org\nMessage-ID: <%d@x>\nSubject: %s\n\n", i, i, name)
		check(t, os.WriteFile(m, []byte(text+body(i)), 0o600))
		if err := runScript(dir, writers[name], m, fmt.Sprintf("m%d", i)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	sent := func() map[string][][]byte {
		all := make(map[string][][]byte)
		for _, m := range relay.Messages() {
			all[m.To[0]] = append(all[m.To[0]], m.Data)
		}
		return all
	}
	soon(t, "every message is sent", func() bool { return len(sent()) == len(names) })
	soon(t, "no file of a message is left", func() bool {
		files, err := os.ReadDir(dir)
		check(t, err)
		return !slices.ContainsFunc(files, func(f os.DirEntry) bool {
			name := f.Name()
			return f.Type().IsRegular() && name[0] == 'm' && !strings.HasSuffix(name, "~") && !strings.HasSuffix(name, ".tmp")
		})
	})
	for i, name := range names {
		got := sent()[fmt.Sprintf("a%d@x.org", i)]
		if len(got) != 1 {
			t.Errorf("%s: sent %d times", name, len(got))
		}
		want := strings.ReplaceAll(body(i), "\n", "\r\n")
		for _, data := range got {
			if _, is, _ := bytes.Cut(data, []byte("\r\n\r\n")); string(is) != want {
				t.Errorf("%s: sent %d octets of %d: %q", name, len(is), len(want), is)
			}
		}
	}
}

// editors are scripts that change the file $N, of a message that waits. $M has a copy of the message.
var editors = map[string]string{
	"sed -i":                  `sed -i 's/hello/hallo/' $N`,
	"sed -i, twice":           `sed -i 's/hello/hallo/' $N; sed -i 's/hallo/hullo/' $N`,
	"sed -i with a backup":    `sed -i~ 's/hello/hallo/' $N`,
	"sed -i.bak":              `sed -i.bak 's/hello/hallo/' $N`,
	"perl -i.orig":            `perl -i.orig -pe 's/hello/hallo/' $N`,
	"nano -B":                 `cp -p $N $N.save; sed -i 's/hello/hallo/' $N`,
	"perl -i":                 `perl -i -pe 's/hello/hallo/' $N`,
	"ed":                      `printf '$a\nmore\n.\nw\nq\n' | ed -s $N`,
	"a line more":             `echo more >>$N`,
	"written anew":            `sed 's/hello/hallo/' "$M" >$N`,
	"cp over it":              `sed 's/hello/hallo/' "$M" >"$M.2"; cp "$M.2" $N`,
	"mv over it":              `sed 's/hello/hallo/' "$M" >tmp/$N; mv -f tmp/$N $N`,
	"install over it":         `install -m 600 "$M" $N`,
	"removed, written anew":   `rm $N; cat "$M" >$N`,
	"vim with backupcopy=no":  `mv $N $N~; sed 's/hello/hallo/' "$M" >$N; rm $N~`,
	"vim with backupcopy=yes": `cp $N $N~; sed 's/hello/hallo/' "$M" >$N; rm $N~`,
	"shorter":                 `truncate -s -5 $N`,
	"touch":                   `touch $N`,
	"touch -d":                `touch -d '3 days ago' $N`,
	"chmod, chown":            `chmod 640 $N; chown "$(id -u)" $N`,
	"renamed":                 `mv $N $N.renamed`,
	"renamed and edited":      `mv $N $N.renamed; sed -i 's/hello/hallo/' $N.renamed`,
	"linked and unlinked":     `ln $N $N.linked; rm $N`,
	"held, edited, released":  `mv $N hold/$N; sed -i 's/hello/hallo/' hold/$N; mv hold/$N $N`,
	"moved by copy":           `cp $N "$M.away"; rm $N; cp "$M.away" $N.back`,
	"tar and back":            `tar cf "$M.tar" $N; rm $N; tar xf "$M.tar"`,
}

// However a waiting message is changed or moved, a recipient that has accepted it gets no second copy, and the other
// recipients get it.
func TestEditorsOfAWaitingMessage(t *testing.T) {
	t.Parallel()
	var later atomic.Bool
	later.Store(true)
	dir, relay := t.TempDir(), &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" && strings.HasPrefix(arg, "b") && later.Load() {
			return "450 4.2.1 later"
		}
		return ""
	}}
	accepted := func() map[string]int {
		all := make(map[string]int)
		for _, m := range relay.Messages() {
			for _, to := range m.To {
				all[to]++
			}
		}
		return all
	}
	s, stop := start(t, dir, Options{Dial: relay.Dial, Freq: time.Second})
	defer stop()
	names := slices.Sorted(maps.Keys(editors))
	names = slices.DeleteFunc(names, func(name string) bool { return !available(editors[name]) })
	for i := range names {
		drop(t, dir, fmt.Sprintf("m%d", i), editedMessage(i))
	}
	soon(t, "each message is accepted for one recipient", func() bool { return len(accepted()) == len(names) })
	for i, name := range names {
		m := filepath.Join(t.TempDir(), "message")
		check(t, os.WriteFile(m, []byte(editedMessage(i)), 0o600))
		if err := runScript(dir, editors[name], m, fmt.Sprintf("m%d", i)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	later.Store(false)
	soon(t, "each message is accepted for the other recipient", func() bool {
		s.Flush()
		return len(accepted()) == 2*len(names)
	})
	soon(t, "no message is left", func() bool {
		for key := range s.Status() {
			if !strings.HasSuffix(key, "~") && !slices.Contains([]string{".bak", ".orig", ".save"}, filepath.Ext(key)) {
				return false // not the backup of an editor
			}
		}
		return true
	})
	for i, name := range names {
		for _, to := range []string{"a", "b"} {
			if n := accepted()[fmt.Sprintf("%s%d@x.org", to, i)]; n != 1 {
				t.Errorf("%s: %s has accepted the message %d times", name, to, n)
			}
		}
	}
}

func editedMessage(i int) string {
	return fmt.Sprintf("From: s@x.org\nTo: a%d@x.org, b%d@x.org\nMessage-ID: <%d@x>\n\n", i, i, i) + body(i)
}
