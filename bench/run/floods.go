//go:build linux

package main

// floods returns the scenarios with a full queue and a relay that answers at once.
func floods() []scenario {
	return []scenario{
		{
			name: "flood-0ms", title: "5,000 messages of 4 KiB, relay at 0 ms", load: load{5000, 4 << 10}, run: flood,
			peers: "spoolgore,bare,postfix,postfix:20,postfix:100,dma,nullmailer,msmtpq",
		},
		{
			name: "flood-0ms-data", title: "5,000 messages of 4 KiB, relay at 0 ms without CHUNKING",
			load: load{5000, 4 << 10}, run: flood, sink: []string{"-ext", noChunking},
			peers: "spoolgore,bare,postfix,postfix:20",
		},
		{
			name: "tls-0ms", title: "5,000 messages of 4 KiB, relay at 0 ms with TLS",
			load: load{5000, 4 << 10}, run: flood, tls: true,
			peers: "spoolgore,postfix,postfix:20",
		},
		{
			name: "tls-0ms-data", title: "5,000 messages of 4 KiB, relay at 0 ms with TLS, without CHUNKING",
			load: load{5000, 4 << 10}, run: flood, tls: true, sink: []string{"-ext", noChunking},
			peers: "spoolgore,postfix,postfix:20",
		},
	}
}

// slow returns the scenarios with a full queue and a distant relay.
func slow() []scenario {
	const line = "50ms"
	return []scenario{
		{
			name: "flood-50ms", title: "5,000 messages of 4 KiB, relay at 50 ms", load: load{5000, 4 << 10}, run: flood,
			sink:  []string{"-latency", line},
			peers: "spoolgore,spoolgore:20,postfix,postfix:100,dma,nullmailer,msmtpq",
		},
		{
			name: "flood-50ms-data", title: "2,000 messages of 4 KiB, relay at 50 ms without CHUNKING",
			load: load{2000, 4 << 10}, run: flood, sink: []string{"-latency", line, "-ext", noChunking},
			peers: "spoolgore,spoolgore:20,postfix,postfix:20,postfix:100,dma",
		},
		{
			name: "flood-50ms-100", title: "5,000 messages of 4 KiB, relay at 50 ms without CHUNKING, 100 connections",
			load: load{5000, 4 << 10}, run: flood, sink: []string{"-latency", line, "-ext", noChunking},
			peers: "spoolgore:100,postfix:100",
		},
		{
			name: "cold-50ms", title: "400 messages of 4 KiB, relay at 50 ms, from the start",
			load: load{400, 4 << 10}, run: flood, sink: []string{"-latency", line},
			peers: "spoolgore,postfix:100,dma",
		},
		{
			name: "cold-50ms-data", title: "400 messages of 4 KiB, relay at 50 ms without CHUNKING, from the start",
			load: load{400, 4 << 10}, run: flood, sink: []string{"-latency", line, "-ext", noChunking},
			peers: "spoolgore,postfix:100,dma",
		},
		{
			name: "tls-50ms", title: "5,000 messages of 4 KiB, relay at 50 ms with TLS",
			load: load{5000, 4 << 10}, run: flood, tls: true, sink: []string{"-latency", line},
			peers: "spoolgore,postfix,postfix:100",
		},
		{
			name: "tls-50ms-data", title: "2,000 messages of 4 KiB, relay at 50 ms with TLS, without CHUNKING",
			load: load{2000, 4 << 10}, run: flood, tls: true, sink: []string{"-latency", line, "-ext", noChunking},
			peers: "spoolgore,postfix,postfix:100",
		},
	}
}

// large returns the scenarios with large messages.
func large() []scenario {
	return []scenario{
		{
			name: "big", title: "50 messages of 10 MiB, relay at 0 ms", load: load{50, 10 << 20}, run: flood,
			peers: "spoolgore,bare:2,postfix,postfix:4,postfix:20,dma,nullmailer,msmtpq",
		},
		{
			name: "big-data", title: "50 messages of 10 MiB, relay at 0 ms without CHUNKING",
			load: load{50, 10 << 20}, run: flood, sink: []string{"-ext", noChunking},
			peers: "spoolgore,bare:2,postfix,postfix:4,postfix:20",
		},
	}
}
