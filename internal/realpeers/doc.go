// Package realpeers holds tests only: a spool sends 1,000 messages of every shape to real mail servers (go-smtp's server,
// Exim, Postfix) over STARTTLS with AUTH, with CHUNKING and without, and what the servers deliver is compared byte for byte.
//
// Exim and Postfix need root and their Debian packages; where one is missing its test is skipped and says why. They run on
// free ports of 127.0.0.1 with configurations, queues and mailboxes of their own; what the system has is not touched.
package realpeers
