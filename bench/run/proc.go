//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of time in /proc/PID/stat, the same on every Linux that Go supports.
const tick = 10 * time.Millisecond

// A proc is the state of a process in /proc.
type proc struct {
	pid, parent int
	own         time.Duration // CPU time, user and system, of the process itself
	reaped      time.Duration // of children that have ended, and their children
	rss, pss    int64         // octets in memory; in pss a page of n processes counts as 1/n
	anon        int64         // of rss: memory without a file, unlike code
}

// family returns root and all processes below it, root first.
func family(root int) []proc {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children := make(map[int][]proc)
	var all []proc
	for _, dir := range dirs {
		p, ok := readProc(dir)
		switch {
		case !ok:
		case p.pid == root:
			all = append(all, p)
		default:
			children[p.parent] = append(children[p.parent], p)
		}
	}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	for i := range all {
		all[i].readMemory()
	}
	return all
}

// readProc reads the stat file of a process. ok is false if the process is gone.
func readProc(dir string) (proc, bool) {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return proc{}, false
	}
	pid, _ := strconv.Atoi(filepath.Base(dir))
	// the name before the parenthesis may have any characters
	f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	number := func(field int) int64 { // counted as in proc(5)
		n, _ := strconv.ParseInt(string(f[field-3]), 10, 64)
		return n
	}
	return proc{
		pid: pid, parent: int(number(4)),
		own:    time.Duration(number(14)+number(15)) * tick,
		reaped: time.Duration(number(16)+number(17)) * tick,
	}, true
}

func (p *proc) readMemory() {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/smaps_rollup")
	p.rss, p.pss = kilobytes(text, "\nRss:"), kilobytes(text, "\nPss:")
	p.anon = kilobytes(text, "\nAnonymous:")
}

// kilobytes returns the number after label, in octets, in a text like /proc/PID/smaps_rollup.
func kilobytes(text []byte, label string) int64 {
	_, rest, _ := bytes.Cut(text, []byte(label))
	number, _, _ := bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte(" "))
	n, _ := strconv.ParseInt(string(number), 10, 64)
	return n << 10
}

// A usage is the usage of the processes of a cell at one moment.
type usage struct {
	cpu       time.Duration // since the start of the cell, including ended processes
	rss, pss  int64         // as of a process, summed up
	anon      int64         // likewise
	processes int
}

// use returns the usage of the processes of the cell with process root. The process of the cell does not count.
func use(root int) usage {
	var u usage
	for i, p := range family(root) {
		u.cpu += p.reaped
		if i == 0 {
			continue
		}
		u.cpu += p.own
		u.rss += p.rss
		u.pss += p.pss
		u.anon += p.anon
		u.processes++
	}
	return u
}
