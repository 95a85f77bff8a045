package spooldir

import (
	"fmt"
	"io"
	"os"
	"testing"
)

func BenchmarkNames100k(b *testing.B) {
	d := newSpool(b)
	for i := range 100_000 {
		f, err := os.Create(d.File(fmt.Sprintf("20261123T214905.%09d-abcdefghijklmnop.eml", i)))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	b.ReportAllocs()
	for b.Loop() {
		if names, err := d.Names(Spool); err != nil || len(names) != 100_000 {
			b.Fatal(len(names), err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	d := newSpool(b)
	text := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Put(func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSettled(b *testing.B) {
	d := newSpool(b)
	drop(b, d, "a", "hello")
	b.ReportAllocs()
	for b.Loop() {
		f, id, err := d.Open("a")
		if err == nil {
			_, err = Free(f, id)
		}
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkChanged(b *testing.B) {
	d := newSpool(b)
	last, _, err := d.Changed(Snapshot{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if last, _, err = d.Changed(last); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRemove(b *testing.B) {
	d := newSpool(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		id := drop(b, d, "a", "hello")
		b.StartTimer()
		if err := d.Remove("a", id); err != nil {
			b.Fatal(err)
		}
	}
}
