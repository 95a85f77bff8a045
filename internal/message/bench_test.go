package message

import (
	"io"
	"strings"
	"testing"
)

const sampleHeader = `Received: from client.example.org (client.example.org [192.0.2.1])
	by mail.example.org (Postfix) with ESMTPS id 4ABCDEF
	for <ann@example.org>; Wed, 04 Mar 2026 05:06:07 +0100 (CET)
Date: Wed, 04 Mar 2026 05:06:07 +0100
From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>
To: Ann <ann@example.org>, bob@example.net
Cc: "Carol, C." <carol@example.org>
Bcc: dave@example.org
Subject: An example of usual length, as it is seen every day
Message-ID: <20260304050607.4ABCDEF@mail.example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
X-Mailer: example 1.0

`

func BenchmarkReadHeader(b *testing.B) {
	f := strings.NewReader(sampleHeader + "body\n")
	b.ReportAllocs()
	for b.Loop() {
		h, err := ReadHeader(f, f.Size())
		if err != nil {
			b.Fatal(err)
		}
		if a := h.Addresses(); len(a.To) != 2 || a.FromErr != nil {
			b.Fatal(a)
		}
	}
}

func BenchmarkReadHeaderEnvelope(b *testing.B) {
	line, err := Envelope{From: "joerg@example.com", To: []string{"ann@example.org", "bob@example.net"}}.AppendLine(nil)
	if err != nil {
		b.Fatal(err)
	}
	f := strings.NewReader(string(line) + sampleHeader + "body\n")
	b.ReportAllocs()
	for b.Loop() {
		h, err := ReadHeader(f, f.Size())
		if err != nil {
			b.Fatal(err)
		}
		if a := h.Addresses(); len(a.To) != 2 || a.FromErr != nil {
			b.Fatal(a)
		}
	}
}

func BenchmarkContent1MiB(b *testing.B) {
	for name, line := range map[string]string{
		"LF":      strings.Repeat("x", 76) + "\n",
		"CRLF":    strings.Repeat("x", 76) + "\r\n",
		"noLines": strings.Repeat("x", 77),
	} {
		b.Run(name, func(b *testing.B) {
			text := sampleHeader + strings.Repeat(line, (1<<20)/len(line))
			f := strings.NewReader(text)
			h, err := ReadHeader(f, f.Size())
			if err != nil {
				b.Fatal(err)
			}
			p := make([]byte, 32<<10)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				c := h.Content(f, f.Size(), added)
				for {
					if _, err := c.Read(p); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMeasure1MiB(b *testing.B) {
	text := "A: 1\n\n" + strings.Repeat(strings.Repeat("x", 72)+"\n", 1<<20/73)
	f := strings.NewReader(text)
	h, err := ReadHeader(f, int64(len(text)))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.Content(f, int64(len(text)), Added{}).Measure(); err != nil {
			b.Fatal(err)
		}
	}
}
