// Package realpeers holds tests only: a spool sends 1,000 messages of every shape to real mail servers (go-smtp's
// server, Exim, Postfix) over STARTTLS with AUTH, with and without CHUNKING. The tests compare the delivered messages
// byte for byte.
//
// Exim and Postfix need root and their Debian packages; a test without its server is skipped. The servers run on free
// ports of 127.0.0.1 with private configurations, queues and mailboxes; the servers of the system are not touched.
package realpeers
