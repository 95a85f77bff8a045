// Package fleet is a mail queue of many hosts on PostgreSQL: hosts put messages, and workers send them through relays.
//
//	q, err := fleet.Open(ctx, fleet.Options{DB: "postgres://mail@db.example.com/mail"})
//	name, err := q.Put(ctx, spoolgore.Envelope{From: "app@example.com", To: []string{"ann@example.org"}}, r)
//	err = q.Work(ctx, spoolgore.Options{SMTPAddr: "mail.example.com:587", Rate: spoolgore.Rate{{14, time.Second}}})
//
// # What is promised
//
// A message that Put has returned without an error is on the disk of the database, and of its synchronous standby if
// there is one. A worker sends the message until each recipient is accepted or given up; the sender gets a report
// (RFC 3464) about those who were given up. Delivery is at least once: a second copy is possible only for what was
// under way when a worker died, or when a relay's reply was lost.
//
// # The life of a message
//
// A message is ready, waiting for a time, leased to a worker, held, or failed. Each state is a number in its row.
// When all recipients have accepted, the row and the content are deleted. Giving up and the report are one transaction.
// The rules are those of package spoolgore: which failure counts, when the next attempt is, what a report says.
//
// # Leases
//
// A worker leases messages in batches. Leases have no time of their own: a worker that has not beaten for
// Options.Lease is dead, and other workers get its messages. A worker that cannot reach the database for four fifths
// of that time begins nothing, and ends no transfer of a content. An old worker that wakes up finds another lease
// number in the row: its deferrals are ignored, its acceptances count. It begins no message with the old leases.
//
// # Identity
//
// Each message has a uid: Envelope.ID, or a random one. A uid lives for 14 days in a table with a primary key. So the
// same call may be repeated after a lost connection, and by a program that has crashed, without a second message.
//
// # Limits of rate
//
// Options.Rate of Work holds for the whole fleet, by the clock of the database. A recipient counts from the claim of
// its message until a period after the outcome: in no period does the relay see more than the limit.
//
// # Trouble of relays
//
// A relay that refuses the account, by its login or its quota, rests for all workers, and one worker probes. Any other
// trouble rests the worker that has the trouble; its messages go to the other workers.
//
// docs/fleet.md has the tables, every step at which a crash may happen, and what is not built yet.
package fleet
