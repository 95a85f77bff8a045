package attempt

import "slices"

// A quotaReply is a reply with a code for "never" that is about a quota, the state of the account or this host: the
// message is good, and goes out when there is quota again.
type quotaReply struct {
	code     int    // zero: any 5yz
	enhanced string // empty: any
	text     *words // nil: any
}

// quotaReplies is the table of docs/delivery.md, which names the sources.
var quotaReplies = []quotaReply{
	{550, "5.4.5", nil},  // Gmail: daily user sending limit
	{550, "5.1.90", nil}, // Exchange Online: daily limit of recipients
	{0, "5.7.232", nil},  // Exchange Online: daily limit of a trial tenant for external recipients
	{0, "5.7.233", nil},  // Exchange Online: daily limit of the tenant for external recipients
	{0, "5.7.705", nil},  // Exchange Online: tenant has exceeded the threshold
	{0, "5.7.708", nil},  // Exchange Online: traffic not accepted from this IP
	{0, "5.7.750", nil},  // Exchange Online: unregistered domains
	{0, "5.7.501", nil},  // Exchange Online: spam abuse detected from the account
	{0, "5.7.502", nil},  // Exchange Online: account banned
	{0, "5.7.503", nil},  // Exchange Online: account disabled
	{0, "5.7.506", nil},  // Exchange Online: bad HELO of a blocked account
	{525, "", nil},       // RFC 7372: user account disabled
	{0, "5.2.0", pattern(`SubmissionQuotaExceeded`)}, // Exchange Online
	{0, "", pattern(`SubmissionQuotaExceeded`)},      // Exchange
	{502, "", pattern(`not (yet )?activated`)},       // Brevo: SMTP account not activated
	{0, "", pattern(`(daily|hourly|monthly|sending|message|account|user|relay)( \w+){0,2} ` +
		`(limit|quota)( \w+){0,3} (exceeded|reached)`)},
	{0, "", pattern(`exceeded the max( \w+){1,4} per (hour|day)`)}, // cPanel
	{0, "", pattern(`unusual sending activity`)},                   // Zoho, 550 5.4.6
	{0, "", pattern(`(exceeded|reached|over)( [\w-]+){0,4} (daily|hourly|monthly|sending)( \w+){0,2} (limit|quota)`)},
	{0, "", pattern(`limit on the (number|amount) of .{0,50}exceeded`)},
	{0, "", pattern(`daily (user )?sending (limit|quota)`)},
	{0, "", pattern(`(account|user|sending)( \w+){0,3} (is |has been |was )?(suspended|disabled|paused|shut ?down)`)},
	{0, "", pattern(`client host \S* ?(blocked using|rejected: access denied)|banned sending ip`)}, // this host
	{0, "", pattern(`over your relay quota`)},                                                      // GoDaddy
	{0, "", pattern(`exceeded your( \w+){1,2} quota`)},                                             // outMail
	{550, "", pattern(`failure sending mail\W+try again`)},                                         // GMX, mail.com
	{0, "5.1.8", pattern(`outgoing blocked`)},                                                      // Zoho
	{0, "", pattern(`credits exceeded|out of credits|no (more )?credits|insufficient credit`)},
}

// ofMailbox are status codes about the mailbox of a recipient or the size of the message (RFC 3463): unknown, disabled,
// full, too large. The words of such a reply are about no quota of the account.
var ofMailbox = []string{"5.1.1", "5.2.1", "5.2.2", "5.2.3", "5.3.4"}

var sizeWords = pattern(`\bsize\b`)

// quota reports whether a reply is about a quota or the state of the account.
func (r Reply) quota() bool {
	if r.Code/100 != 5 {
		return false
	}
	noWords := slices.Contains(ofMailbox, r.Enhanced) || sizeWords.MatchString(r.Text)
	for _, q := range quotaReplies {
		if q.enhanced == "" && q.text != nil && noWords {
			continue
		}
		if (q.code == 0 || q.code == r.Code) && (q.enhanced == "" || q.enhanced == r.Enhanced) &&
			(q.text == nil || q.text.MatchString(r.Text)) {
			return true
		}
	}
	return false
}
