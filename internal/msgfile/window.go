package msgfile

import (
	"io"
	"sync"

	"github.com/unbit/spoolgore/internal/fsys"
)

// windowSize is the size up to which a file is read with one call, in bytes.
const windowSize = 8 << 10

var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

// A window is the file of a small message in memory, so that one ReadAt of the system serves the header, the tests of
// the file, the measure and the content. The memory is released when the content was read to the end. A larger file,
// and one that was released, is read from the disk. The holder of the File's lock owns the window once the file was
// opened.
type window struct {
	file fsys.File
	size int64 // of the version that was opened
	buf  *[windowSize]byte
	n    int // bytes of the file in buf
}

// ReadAt implements io.ReaderAt. The first call for a small file reads the whole file.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if w.buf == nil && off == 0 && 0 < w.size && w.size <= windowSize && int64(len(p)) >= w.size {
		n, err := w.file.ReadAt(p[:w.size], 0)
		if int64(n) == w.size && (err == nil || err == io.EOF) {
			w.buf, w.n = windows.Get().(*[windowSize]byte), n
			copy(w.buf[:], p[:n])
		}
		return n, err
	}
	if end := off + int64(len(p)); w.buf != nil && off >= 0 && end <= int64(w.n) {
		return copy(p, w.buf[off:end]), nil
	}
	return w.file.ReadAt(p, off)
}

// release gives the memory back.
func (w *window) release() {
	if w.buf != nil {
		windows.Put(w.buf)
		w.buf = nil
	}
}
