// Package realpeers holds tests only: a spool sends 1,000 messages of every shape to real mail servers (go-smtp's
// server, Exim, Postfix, OpenSMTPD, Sendmail) over STARTTLS with AUTH, with and without CHUNKING, and without TLS. The
// tests compare the delivered messages byte for byte, but for the folding of address fields by Sendmail.
//
// The servers but go-smtp's need root and their Debian packages; a test without its server is skipped. The servers run
// on free ports of 127.0.0.1 with private configurations, queues and mailboxes; the servers of the system are not
// touched. OpenSMTPD 6.8 of Debian 12 cannot use its key with OpenSSL 3, so it gets mail without TLS and login.
// OpenSMTPD 7 of Debian 13 gets mail with both; its files lie over /usr in a mount namespace.
package realpeers
