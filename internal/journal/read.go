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

// parse returns the record of a line, nil if it is not whole.
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

// Found is what was in a journal.
type Found struct {
	Records int
	Bad     int   // lines that are not whole, between records: they were ignored
	Torn    int64 // bytes behind the last record, such as half a line written in a crash: they were ignored too
	end     int64 // offset behind the last record
}

// Read calls each for every record, in the order in which they were appended. It ignores what is not whole, as it never was
// or the disk has lost it, and goes on behind it. An error of each, or of r, ends it.
func Read(r io.Reader, each func(record []byte) error) (found Found, err error) {
	lines := bufio.NewReader(r)
	bad, at := 0, int64(0)
	for {
		line, err := lines.ReadBytes('\n')
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

// Open reads the journal at path and returns it to be appended to: what is torn at its end is taken off. A missing file is
// an empty journal. An error says that it cannot be known what the journal holds, or that it cannot be appended to.
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

// read reads the file, and takes off what is torn.
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
