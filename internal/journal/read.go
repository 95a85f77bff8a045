package journal

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"

	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// A line is the CRC-32C of the record in eight hexadecimal digits, a space, the record and a line feed.
const header = 9

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendLine(lines, record []byte) []byte {
	sum := crc32.Checksum(record, castagnoli)
	lines = hex.AppendEncode(lines, []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	lines = append(lines, ' ')
	lines = append(lines, record...)
	return append(lines, '\n')
}

// parse returns the record of a line; nil if the line is damaged.
func parse(line []byte) []byte {
	if len(line) <= header+1 {
		return nil
	}
	record := line[header : len(line)-1]
	if again := appendLine(make([]byte, 0, len(line)), record); string(again) != string(line) {
		return nil
	}
	return record
}

// Found has the counts of a reading.
type Found struct {
	Records int
	Bad     int   // damaged lines between records; they were ignored
	Torn    int64 // bytes after the last record, such as half a line after a crash; they were ignored
	end     int64 // offset after the last record
}

// maxLine is the longest line of a journal. Entries of the status file have the same limit. A file without blocks
// (sparse) is one line that can be longer than the memory.
const maxLine = 64 << 20

// errTooLong ends the reading of a file that is no journal.
var errTooLong = fmt.Errorf("a line is longer than %d MiB", maxLine>>20)

// readLine returns the next line with its line feed, or the rest at the end of the input.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, errTooLong
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// Read calls each for every record in order. A damaged line is skipped: the line was not written completely, or the
// disk lost it. Read stops at an error of each or of r, and at a line that is too long.
func Read(r io.Reader, each func(record []byte) error) (found Found, err error) {
	lines := bufio.NewReader(r)
	bad, at := 0, int64(0)
	for {
		line, err := readLine(lines)
		at += int64(len(line))
		if err == io.EOF {
			found.Torn = at - found.end
			return found, nil
		}
		if err != nil {
			return found, err
		}
		record := parse(line)
		if record == nil {
			bad++
			continue
		}
		if err := each(record); err != nil {
			return found, fmt.Errorf("record before byte %d: %w", at, err)
		}
		found.Records++
		found.Bad, bad, found.end = found.Bad+bad, 0, at
	}
}

// Open reads the journal at path and opens it for appending. Bytes after the last record are removed. A missing file is
// an empty journal. Open fails if the content is not known or the file cannot be changed.
func Open(path string, each func(record []byte) error) (*File, Found, error) {
	return OpenOn(fsys.System(), path, each)
}

// OpenOn is Open on the file system on.
func OpenOn(on fsys.FS, path string, each func(record []byte) error) (*File, Found, error) {
	d := newDisk(on, path, 0)
	if _, err := on.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return newFile(d), Found{}, nil
	}
	found, err := d.read(each)
	if err != nil {
		d.close()
		return nil, found, fmt.Errorf("journal %s: %w", path, err)
	}
	return newFile(d), found, nil
}

// read reads the file and removes the bytes after the last record.
func (d *disk) read(each func(record []byte) error) (found Found, err error) {
	f, err := spooldir.OpenOwnOn(d.fs, d.path)
	if err != nil {
		return found, err
	}
	d.f = f
	if found, err = Read(io.NewSectionReader(f, 0, math.MaxInt64), each); err != nil {
		return found, err
	}
	d.size = found.end
	return found, d.ready()
}
