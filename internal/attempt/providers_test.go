package attempt

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// providers are replies of real servers. The last column is the source: a document of the provider, the source of the
// server, or a public report. docs/delivery.md explains the results:
//
//	final      given up at once
//	message    tried again, an attempt is counted
//	undecided  tried again, an attempt is counted only if the relay accepted other mail meanwhile
//	throttled  undecided, and the relay is used more slowly
//	relay      the relay rests, nothing is counted; with the cause
//
// A step with "+" means that credentials are configured, "*" means that the relay has accepted a message on the
// connection.
const providers = `
rcpt+ | 550-5.1.1 The email account that you tried to reach does not exist. | final | Gmail, support.google.com/a/answer/3726730
rcpt+ | 550 5.2.1 The email account that you tried to reach is disabled. | final | Gmail, support.google.com/a/answer/3726730
rcpt+ | 452 4.2.2 The email account that you tried to reach is over quota. | message | Gmail, support.google.com/a/answer/3726730
rcpt+ | 450 4.2.1 The user you are trying to contact is receiving mail too quickly. | message | Gmail, support.google.com/a/answer/3726730
end+ | 550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to | relay quota | Gmail, support.google.com/a/answer/3726730
end+ | 421 4.7.0 Try again later, closing connection. | undecided | Gmail, support.google.com/a/answer/3726730
end+ | 421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address. | throttled | Gmail, support.google.com/a/answer/3726730
end+ | 550 5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with SPF or DKIM. | final | Gmail, support.google.com/a/answer/3726730
mail | 530 5.7.0 Authentication Required. For more information, go to | relay login | Gmail, support.google.com/a/answer/3726730
end+ | 552 5.3.4 Your message exceeded Google's message size limits. | final | Gmail, support.google.com/a/answer/3726730
mail+ | 451 4.3.0 Mail server temporarily rejected message. | relay storage | Gmail, support.google.com/a/answer/3726730
auth+ | 535 5.7.8 Username and Password not accepted. | relay | Gmail, support.google.com/mail/answer/7126229
end+ | 550 5.7.1 Our system has detected that this message is likely unsolicited mail. | final | Gmail, support.google.com/a/answer/3726730
mail | 530 5.7.57 Client not authenticated to send mail. | relay login | Exchange Online, learn.microsoft.com/exchange/mail-flow-best-practices
mail* | 530 5.7.1 Client was not authenticated. | relay login | Exchange Server, learn.microsoft.com/exchange/mail-flow/connectors
rcpt | 550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM | relay login | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup | final | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients | relay quota | Exchange Online, MicrosoftDocs/OfficeDocs-Support/issues/1150
end+ | 554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message | relay quota | Exchange Online, MicrosoftDocs/OfficeDocs-Exchange/issues/2729
rcpt+ | 550 5.7.705 Access denied, tenant has exceeded threshold | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
mail+ | 550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
mail+ | 550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
end+ | 432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded | throttled | Exchange Online, timeoff-management-application/issues/308
end+ | 451 4.7.500 Server busy. Please try again later from [192.0.2.1]. | undecided | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. | throttled | Outlook.com, postmaster page
mail+ | 421 4.3.2 Service not active | relay | Exchange Server, learn.microsoft.com/exchange back pressure
mail+ | 452 4.3.1 Insufficient system resources | relay storage | Exchange Server, learn.microsoft.com/exchange back pressure
end+ | 550 5.7.60 SMTP; Client does not have permissions to send as this sender | final | Exchange Server, learn.microsoft.com/exchange
rcpt+ | 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain | final | Exchange Server, learn.microsoft.com/exchange
end+ | 454 Throttling failure: Maximum sending rate exceeded. | throttled | Amazon SES, docs.aws.amazon.com/ses smtp response codes
end+ | 454 Throttling failure: Daily message quota exceeded. | throttled | Amazon SES, docs.aws.amazon.com/ses smtp response codes
end+ | 554 Message rejected: Email address is not verified. The following identities failed the check | final | Amazon SES, docs.aws.amazon.com/ses
mail+ | 554 Access denied: User is not authorized to perform ses:SendRawEmail | final | Amazon SES, docs.aws.amazon.com/ses
auth+ | 454 4.7.0 Temporary authentication failure | relay | Amazon SES, docs.aws.amazon.com/ses smtp response codes
auth+ | 535 Authentication Credentials Invalid | relay | Amazon SES, docs.aws.amazon.com/ses smtp response codes
end+ | 554 Transaction failed: Duplicate header 'Subject'. | final | Amazon SES, docs.aws.amazon.com/ses
mail+ | 502 5.7.0 Your SMTP account is not yet activated. Please contact us | relay quota | Brevo, help.brevo.com
mail | 502 5.7.0 Please authenticate first | relay login | Brevo and Sendinblue, developers.brevo.com
end+ | 525 5.7.13 Account disabled | relay quota | RFC 7372 and Mailjet
end+ | 550 Domain example.com has exceeded the max emails per hour (110/100 (110%)) allowed. Message discarded. | relay quota | cPanel hosts, docs.cpanel.net max emails per hour
end+ | 550 User ann has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed have been sent. | relay quota | GoDaddy, public reports of relay quota
rcpt+ | 550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending email to external recipients | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients (tenant external recipient rate limit) | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
end+ | 550 5.4.6 Unusual sending activity detected. Please try after sometime. | relay quota | Zoho, zoho.com/mail/help
rcpt+ | 554 5.7.1 ann@example.com: Sender address rejected: hourly rate limit exceeded | relay quota | policyd and ISPConfig, public reports
rcpt+ | 550 5.2.2 The mailbox of the recipient has exceeded its limit | final | many servers, RFC 3463
rcpt+ | 552 5.2.2 Mailbox full, quota of the user exceeded | final | many servers, RFC 3463
rcpt+ | 552 5.2.2 User quota exceeded | final | many servers, RFC 3463
rcpt+ | 550 5.2.1 User account is disabled | final | many servers, RFC 3463
rcpt+ | 550 5.1.1 The account has been suspended | final | many servers, RFC 3463
end+ | 552 5.3.4 Message size limit exceeded | final | many servers, RFC 3463
mail+ | 552 Message size limit exceeded | final | many servers, RFC 1870
rcpt+ | 550 5.1.1 <helo@example.org>: Recipient address rejected: User unknown in local recipient table | final | Postfix, smtpd_check.c
rcpt | 550 <auth@example.org>: Recipient address rejected: User unknown | final | Postfix, smtpd_check.c
rcpt+ | 450 4.7.1 <rate@example.org>: Recipient address rejected: Greylisted | undecided | milter-greylist
rcpt+ | 554 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour | final | Exchange Online, learn.microsoft.com non-delivery reports
end+ | 550 5.7.1 Hourly sending limit exceeded for this account | relay quota | cPanel hosts, docs.cpanel.net max emails per hour
rcpt | 503 5.5.1 Error: need RCPT command | message | Postfix, smtpd.c
mail | 503 Error: need EHLO and AUTH first ! | relay login | Tencent exmail, ltb-project/self-service-password/issues/436
mail | 550 Unauthenticated senders not allowed | relay login | SocketLabs and SendGrid, frappe/frappe/issues/38806
mail | 553 authentication is required | relay login | Coremail (163.com), mludvig/smtp-cli/issues/4
mail | 550 Authentication is required for relay | relay login | hMailServer, hmailserver/hmailserver/issues/21
rcpt | 530 5.7.0 SMTP authentication is required. | relay login | hMailServer, hmailserver/hmailserver
rcpt | 554 5.7.1 <a@example.org>: Relay access denied | final | Postfix, smtpd_check.c
rcpt | 454 4.7.1 <a@example.org>: Relay access denied | undecided | Postfix, smtpd_relay_restrictions
rcpt | 550 5.7.1 Authentication required for relaying | relay login | Exim and Plesk, docs.plesk.com
rcpt | 504 5.5.2 <apphost>: Helo command rejected: need fully-qualified hostname | relay helo | Postfix, smtpd_check.c
rcpt | 501 5.5.2 <apphost>: Helo command rejected: Invalid name | relay helo | Postfix, smtpd_check.c
rcpt | 450 4.7.1 <apphost>: Helo command rejected: Host not found | relay helo | Postfix, smtpd_check.c
mail | 550 Helo name is not valid (HELO was apphost) | relay helo | Exim of hosts, crazy-max/diun/issues/165
rcpt+ | 450 4.2.0 <a@example.org>: Recipient address rejected: Greylisted | message | Postgrey, postgrey.schweikert.ch
rcpt+ | 450 4.7.1 <a@example.org>: Recipient address rejected: Greylisted, see | undecided | milter-greylist
end+ | 451 4.7.1 Try again later | undecided | rspamd, rspamd/rspamd/issues/1498
rcpt+ | 450 4.3.2 Service currently unavailable | throttled | Postfix postscreen, postscreen.c
greeting | 521 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org | relay | Postfix postscreen, postscreen_smtpd.c
rcpt | 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.1 | relay quota | Postfix, smtpd_check.c
rcpt+ | 554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied | relay quota | Postfix, smtpd_check.c
rcpt | 550 5.7.25 Client host rejected: cannot find your reverse hostname, [192.0.2.1] | final | Postfix, smtpd_check.c
rcpt+ | 550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit | relay quota | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 450 4.1.1 <a@example.org>: Recipient address rejected: unverified address | message | Postfix, smtpd_check.c
rcpt+ | 550 5.1.1 <a@example.org>: Recipient address rejected: User unknown in local recipient table | final | Postfix, smtpd_check.c
mail+ | 550 5.1.8 <b@example.com>: Sender address rejected: Domain not found | final | Postfix, smtpd_check.c
mail | 550 5.1.8 <b@example.com>: Sender address rejected: Domain not found | final | Postfix, smtpd_check.c
mail | 553 5.7.1 <b@example.com>: Sender address rejected: not owned by user | final | Postfix, smtpd_check.c
rcpt+ | 451 4.3.0 <a@example.org>: Temporary lookup failure | relay storage | Postfix, smtpd_check.c
mail+ | 452 4.3.1 Insufficient system storage | relay storage | Postfix, smtpd.c
mail+ | 451 4.3.5 Server configuration error | relay storage | Postfix, smtpd_check.c
mail+ | 552 5.3.4 Message size exceeds fixed limit | final | Postfix, smtpd.c
mail+ | 450 4.7.1 Error: too much mail from 192.0.2.1 | undecided | Postfix, anvil and smtpd.c
rcpt* | 421 4.7.0 relay.test Error: too many errors | throttled | Postfix, smtpd.c
end+ | 451 4.7.0 Temporary authentication failure | undecided | OpenDMARC milter
data | 502 5.5.2 Error: command not recognized | message | Postfix, smtpd.c
mail+ | 500 5.5.1 Invalid command | message | OpenSMTPD, smtp_session.c
end+ | 550 5.7.1 [CS] Message blocked due to spam content in the message. | final | Barracuda, campus.barracuda.com
end+ | 550 5.7.1 Relaying denied. Proper authentication required. | final | Sendmail, cf/README
rcpt | 550 5.7.1 <a@example.org>... Relaying denied. Proper authentication required. | relay login | Sendmail, cf/README
rcpt+ | 451 4.7.1 Greylisting in action, please come back in 00:05:00 | undecided | Sendmail milter-greylist
rcpt+ | 550 Administrative prohibition | final | Exim, acl.c
end+ | 451 Temporary local problem - please try later | undecided | Exim, receive.c
mail+ | 421 Too many concurrent SMTP connections; please try again later. | relay | Exim, smtp_in.c
rcpt+ | 421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints | undecided | Yahoo, senders.yahooinc.com/smtp-error-codes
mail+ | 554 5.7.9 Message not accepted for policy reasons. | final | Yahoo, senders.yahooinc.com/smtp-error-codes
mail+ | 450 4.7.0 We have limits for how many messages can be sent per hour, rate exceeded | throttled | OVH, help.ovhcloud.com
end+ | 552 5.7.0 This message was blocked because its content presents a potential security issue. | final | Gmail, support.google.com/mail/answer/6590
end+ | 554 5.7.0 Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded. | relay quota | T-Online and Strato reports
end+ | 421 4.7.28 Gmail has detected an unusual rate of email originating from your DKIM domain. | throttled | Gmail, support.google.com/a/answer/3726730
rcpt+ | 550 5.7.1 Daily SMTP relay limit exceeded for customer. | relay quota | Gmail, support.google.com/a/answer/3726730
auth+ | 454 4.7.0 Too many login attempts, please try again later. | relay | Gmail, support.google.com/a/answer/3726730
end+ | 451 4.7.501 Server busy. Please try again later | undecided | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 451 4.7.699 Access denied, please try again later | undecided | Exchange Online, learn.microsoft.com non-delivery reports
rcpt+ | 450 4.7.3 Organization queue quota exceeded. | throttled | Exchange Online, learn.microsoft.com non-delivery reports
mail+ | 421 4.4.2 Message submission rate for this client has exceeded the configured limit | relay | Exchange Server, learn.microsoft.com/exchange message rate limits
end+ | 552 Message would take you over your relay quota of 500 Current quota used: 487 | relay quota | GoDaddy, WWBN/AVideo/issues/7527
rcpt+ | 450 Requested mail action not taken: mailbox unavailable Mail send limit exceeded. | throttled | IONOS, ionos.com/help mass mailing limits
rcpt+ | 421 Rate limit reached. Please try again later | throttled | IONOS, ionos.de/hilfe SMTP-Fehlermeldungen
rcpt+ | 421 Reject due to policy violations | undecided | IONOS, ionos.de/hilfe SMTP-Fehlermeldungen
rcpt+ | 550 Requested action not taken: mailbox unavailable Failure sending mail. Try again later | relay quota | GMX, nodemailer/nodemailer/issues/1555
rcpt+ | 550 Requested action not taken: mailbox unavailable | final | IONOS and GMX, ionos.com/help undeliverable email
data+ | 421 Domain example.com is not allowed to send: recipient limit exceeded, try again after Sun, 05 Oct 2025 19:22:44 UTC | throttled | Mailgun, coopdevs/timeoverflow/issues/820
auth+ | 451 Authentication failed: Maximum credits exceeded | relay | SendGrid, mautic/mautic/issues/8721
end+ | 451 You've exceeded your messaging limits | throttled | SendGrid, WA-WF-Bot/WA-WF-Bot-Public/issues/282
greeting | 451 The server has reached its limit for processing requests from your host. | relay | GoDaddy, swiftmailer/swiftmailer/issues/658
rcpt+ | 554 5.7.1 <a@example.com>: Recipient address rejected: You have exceeded your Outmail quota. | relay quota | outMail, support.prolateral.com
rcpt+ | 421 4.7.1 Messages to a@example.com deferred due to excessive volume. Try again later | throttled | iCloud, smtp.codes/icloud
end+ | 451 4.7.1 Service unavailable - try again later | undecided | iCloud, smtp.codes/icloud
rcpt+ | 450 4.3.2 Please wait to send more emails, or contact support for a rate limit increase. | throttled | Purelymail, Purelymail/purelymail-issues/issues/262
end+ | 550 Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded. | relay quota | cPanel hosts, docs.cpanel.net
rcpt+ | 421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1 | throttled | Yahoo, senders.yahooinc.com/smtp-error-codes
mail+ | 421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred | relay | Yahoo, senders.yahooinc.com/smtp-error-codes
rcpt+ | 421 4.16.55 [TS01] Messages from 192.0.2.1 temporarily deferred due to excessive user complaints | undecided | Yahoo, senders.yahooinc.com/smtp-error-codes
mail+ | 525 5.7.1 Unauthorized IP address | relay quota | Brevo, help.brevo.com
end+ | 554 5.1.8 Email Outgoing Blocked | relay quota | Zoho, zoho.com/mail/help
rcpt+ | 451 4.4.1 [internal] No recipient servers available | message | Exchange, learn.microsoft.com/exchange
`

var replyForm = regexp.MustCompile(`^(\d{3})[ -](?:(\d\.\d{1,3}\.\d{1,3}) )?(.*)$`)

func TestRepliesOfProviders(t *testing.T) {
	t.Parallel()
	rows := 0
	for line := range strings.Lines(strings.TrimSpace(providers)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 4 || cells[3] == "" {
			t.Fatalf("row %q", line)
		}
		rows++
		t.Run(cells[1], func(t *testing.T) {
			is := is.New(t)
			parts := replyForm.FindStringSubmatch(cells[1])
			code, err := strconv.Atoi(parts[1])
			is.NoErr(err)
			f := Failure{
				Op: Op(strings.TrimRight(cells[0], "+*")), Reply: Reply{Code: code, Enhanced: parts[2], Text: parts[3]},
				LoggedIn: strings.Contains(cells[0], "+"), Proven: strings.Contains(cells[0], "*"),
			}
			is.Equal(describe(f.Classify()), cells[2])
		})
	}
	is := is.New(t)
	is.True(rows >= 60)
}

// describe returns the result of a row.
func describe(c Class) string {
	switch {
	case c.Fault == Relay:
		return strings.TrimSpace("relay " + string(c.Cause))
	case c.Throttled:
		return "throttled"
	case c.Undecided:
		return "undecided"
	case c.Permanent:
		return "final"
	}
	return "message"
}

// NoQuotas switches the table of quotas off.
func TestNoQuotas(t *testing.T) {
	is := is.New(t)
	f := Failure{Op: OpEnd, Reply: Reply{Code: 550, Enhanced: "5.4.5", Text: "Daily user sending limit exceeded."}, LoggedIn: true}
	is.Equal(f.Classify().Cause, CauseQuota)
	f.NoQuotas = true
	is.Equal(f.Classify(), Class{Fault: Message, Permanent: true})
}
