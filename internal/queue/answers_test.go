package queue

import (
	"strings"
	"testing"

	"github.com/unbit/spoolgore/internal/attempt"
)

// An answer is the result of an act or a job. The file m is in the given state before.
type answer struct {
	state string
	what  string
	give  func(f *fixture)
	want  string // effects if the file did not change meanwhile
	came  string // effects if another file of the name came meanwhile
}

func result(r Result) func(f *fixture) { return func(f *fixture) { f.answer(r) } }

func outcomes(o ...attempt.Outcome) func(f *fixture) { return func(f *fixture) { f.finish(o...) } }

func stumbled(f *fixture) {
	f.q.Finished(f.job, Finish{Outcomes: []attempt.Outcome{relayFault, relayFault}, Stumbled: true}, f.now)
	if e := f.q.entries["m"]; e.suspect == nil || !e.suspect.Equal(f.now) {
		f.t.Error("the message is not suspect")
	}
}

func offered(trouble Trouble, err error) func(f *fixture) {
	return func(f *fixture) { f.q.Finished(f.job, Finish{Trouble: trouble, Err: err}, f.now) }
}

func troubled(trouble Trouble) func(f *fixture) {
	return result(Result{Trouble: trouble, Err: errDisk, Version: thisVersion})
}

func at(p Place, v Version) func(f *fixture) { return result(Result{Place: p, Version: v}) }

// another returns the head of a file that is now a message with another Message-ID.
func another(f *fixture) {
	h := headOf(otherVersion)
	h.MessageID = "<2@x>"
	f.answer(Result{Version: otherVersion, Head: h})
}

// Answers to every act and job that is under way in a state.
var answers = []answer{
	{"opening", "Fine: the file is a message", result(Result{Version: thisVersion, Head: headOf(thisVersion)}),
		"ready |  | queued a, queued b", "checking ready | Stat | queued a, queued b"},
	{"opening", "Gone", troubled(Gone),
		"gone", "unread now"},
	{"opening", "Replaced", troubled(Replaced),
		"unread 10s |  | unusable", "unread now |  | unusable"},
	{"opening", "Unsettled", troubled(Unsettled),
		"unread 5ms", "unread now"},
	{"opening", "Writing", troubled(Writing),
		"unread 5ms", "unread now"},
	{"opening", "Linked", troubled(Linked),
		"unread 5ms", "unread now"},
	{"opening", "Unusable", troubled(Unusable),
		"unread 10s |  | unusable", "unread now |  | unusable"},
	{"opening", "NoMessage", troubled(NoMessage),
		"failing | Fail | unusable", "failing | Fail | unusable"},
	{"opening", "System", troubled(System),
		"unread 10s", "unread now"},
	{"opening", "OtherCause", troubled(OtherCause),
		"unread 10s |  | unusable", "unread now |  | unusable"},

	{"opening again", "Fine: the file is a message", result(Result{Version: thisVersion, Head: headOf(thisVersion)}),
		"waiting 1h", "checking waiting | Stat"},
	{"opening again", "Fine: unchanged", result(Result{Version: thisVersion, Unchanged: true}),
		"waiting 1h", "checking waiting | Stat"},
	{"opening again", "Fine: edited, the same message", result(Result{Version: otherVersion, Head: headOf(otherVersion)}),
		"ready", "checking ready | Stat"},
	{"opening again", "Fine: another message", another,
		"ready |  | queued a, queued b", "checking ready | Stat | queued a, queued b"},
	{"opening again", "Gone", troubled(Gone),
		"checking unread | Stat", "checking unread | Stat"},
	{"opening again", "Replaced", troubled(Replaced),
		"unread 10s |  | unusable", "unread now |  | unusable"},
	{"opening again", "Unsettled", troubled(Unsettled),
		"unread 5ms", "unread now"},
	{"opening again", "Writing", troubled(Writing),
		"unread 5ms", "unread now"},
	{"opening again", "Linked", troubled(Linked),
		"unread 5ms", "unread now"},
	{"opening again", "Unusable", troubled(Unusable),
		"unread 10s |  | unusable", "unread now |  | unusable"},
	{"opening again", "NoMessage", troubled(NoMessage),
		"failing | Fail | unusable", "failing | Fail | unusable"},
	{"opening again", "System", troubled(System),
		"unread 10s", "unread now"},
	{"opening again", "OtherCause", troubled(OtherCause),
		"unread 10s |  | unusable", "unread now |  | unusable"},

	{"checking unread", "Fine: in the spool", at(InSpool, thisVersion),
		"unread now", "unread now"},
	{"checking unread", "Fine: in the spool, another version", at(InSpool, otherVersion),
		"unread now", "unread now"},
	{"checking unread", "Fine: in hold/", at(InHold, thisVersion),
		"held", "checking held | Stat"},
	{"checking unread", "Fine: in hold/, another version", at(InHold, otherVersion),
		"held", "checking held | Stat"},
	{"checking unread", "Fine: nowhere", at(Nowhere, Version{}),
		"missing 10m", "unread now"},
	{"checking unread", "Gone", troubled(Gone),
		"missing 10m", "unread now"},
	{"checking unread", "System", troubled(System),
		"unread 10s", "unread now"},
	{"checking unread", "OtherCause", troubled(OtherCause),
		"unread 10s", "unread now"},

	{"checking waiting", "Fine: in the spool", at(InSpool, thisVersion),
		"waiting 1m", "checking waiting | Stat"},
	{"checking waiting", "Fine: in the spool, another version", at(InSpool, otherVersion),
		"unread now", "unread now"},
	{"checking waiting", "Fine: in hold/", at(InHold, thisVersion),
		"held", "checking held | Stat"},
	{"checking waiting", "Fine: in hold/, another version", at(InHold, otherVersion),
		"held", "checking held | Stat"},
	{"checking waiting", "Fine: nowhere", at(Nowhere, Version{}),
		"missing 10m", "unread now"},
	{"checking waiting", "Gone", troubled(Gone),
		"missing 10m", "unread now"},
	{"checking waiting", "System", troubled(System),
		"waiting 1m", "checking waiting | Stat"},
	{"checking waiting", "OtherCause", troubled(OtherCause),
		"waiting 1m", "checking waiting | Stat"},

	{"checking ready", "Fine: in the spool", at(InSpool, thisVersion),
		"ready", "checking ready | Stat"},
	{"checking ready", "Fine: in the spool, another version", at(InSpool, otherVersion),
		"unread now", "unread now"},
	{"checking ready", "Fine: in hold/", at(InHold, thisVersion),
		"held", "checking held | Stat"},
	{"checking ready", "Fine: in hold/, another version", at(InHold, otherVersion),
		"held", "checking held | Stat"},
	{"checking ready", "Fine: nowhere", at(Nowhere, Version{}),
		"missing 10m", "unread now"},
	{"checking ready", "Gone", troubled(Gone),
		"missing 10m", "unread now"},
	{"checking ready", "System", troubled(System),
		"ready", "checking ready | Stat"},
	{"checking ready", "OtherCause", troubled(OtherCause),
		"ready", "checking ready | Stat"},

	{"checking finishing", "Fine: in the spool", at(InSpool, thisVersion),
		"finishing 10s", "checking finishing | Stat"},
	{"checking finishing", "Fine: in the spool, another version", at(InSpool, otherVersion),
		"unread now", "unread now"},
	{"checking finishing", "Fine: in hold/", at(InHold, thisVersion),
		"held", "checking held | Stat"},
	{"checking finishing", "Fine: in hold/, another version", at(InHold, otherVersion),
		"held", "checking held | Stat"},
	{"checking finishing", "Fine: nowhere", at(Nowhere, Version{}),
		"missing 10m", "unread now"},
	{"checking finishing", "Gone", troubled(Gone),
		"missing 10m", "unread now"},
	{"checking finishing", "System", troubled(System),
		"finishing 10s", "checking finishing | Stat"},
	{"checking finishing", "OtherCause", troubled(OtherCause),
		"finishing 10s", "checking finishing | Stat"},

	{"checking held", "Fine: in the spool", at(InSpool, thisVersion),
		"waiting 1m", "checking waiting | Stat"},
	{"checking held", "Fine: in the spool, another version", at(InSpool, otherVersion),
		"unread now", "unread now"},
	{"checking held", "Fine: in hold/", at(InHold, thisVersion),
		"held", "checking held | Stat"},
	{"checking held", "Fine: in hold/, another version", at(InHold, otherVersion),
		"held", "checking held | Stat"},
	{"checking held", "Fine: nowhere", at(Nowhere, Version{}),
		"missing 10m", "unread now"},
	{"checking held", "Gone", troubled(Gone),
		"missing 10m", "unread now"},
	{"checking held", "System", troubled(System),
		"held", "checking held | Stat"},
	{"checking held", "OtherCause", troubled(OtherCause),
		"held", "checking held | Stat"},

	{"busy", "Fine: both accepted", outcomes(acceptance, acceptance),
		"removing | Remove", "removing | Remove"},
	{"busy", "Fine: one accepted, one deferred", outcomes(acceptance, deferral),
		"recording | Record", "recording | Record"},
	{"busy", "Fine: one accepted, one refused", outcomes(acceptance, refusal),
		"recording | Record", "recording | Record"},
	{"busy", "Fine: both deferred", outcomes(deferral, deferral),
		"waiting 1m | Record? | deferred a, deferred b", "checking waiting | Record?, Stat | deferred a, deferred b"},
	{"busy", "Fine: one deferred, one refused", outcomes(deferral, refusal),
		"waiting 1m | Record? | deferred a, failed b", "checking waiting | Record?, Stat | deferred a, failed b"},
	{"busy", "Fine: both refused", outcomes(refusal, refusal),
		"failing | Fail | failed a, failed b", "failing | Fail | failed a, failed b"},
	{"busy", "Fine: the relay cannot be used", outcomes(relayFault, relayFault),
		"ready |  | deferred a, deferred b", "checking ready | Stat | deferred a, deferred b"},
	{"busy", "Fine: one accepted, then the relay was lost", outcomes(acceptance, relayFault),
		"recording | Record", "recording | Record"},
	{"busy", "Fine: one accepted, no room for the other", outcomes(acceptance, notOffered),
		"recording | Record", "recording | Record"},
	{"busy", "Fine: none offered", outcomes(notOffered, notOffered),
		"waiting 1m |  | deferred a, deferred b", "checking waiting | Stat | deferred a, deferred b"},
	{"busy", "Fine: withdrawn by this side", outcomes(withdrawn, withdrawn),
		"ready |  | deferred a, deferred b", "checking ready | Stat | deferred a, deferred b"},
	{"busy", "Fine: one accepted, one withdrawn", outcomes(acceptance, withdrawn),
		"recording | Record", "recording | Record"},
	{"busy", "Fine: no reply after the end of data", outcomes(noReply, noReply),
		"waiting 1m | Record? | deferred a, deferred b", "checking waiting | Record?, Stat | deferred a, deferred b"},
	{"busy", "Fine: the relay failed in the middle", stumbled,
		"ready |  | deferred a, deferred b", "checking ready | Stat | deferred a, deferred b"},
	{"busy", "Gone", offered(Gone, errDisk),
		"checking waiting | Stat", "checking waiting | Stat"},
	{"busy", "Replaced", offered(Replaced, errDisk),
		"unread now", "unread now"},
	{"busy", "System", offered(System, errDisk),
		"waiting 10s", "checking waiting | Stat"},
	{"busy", "OtherCause", offered(OtherCause, errDisk),
		"waiting 10s |  | unusable", "checking waiting | Stat | unusable"},

	{"recording", "Fine", result(Result{}),
		"waiting 1m |  | sent a, deferred b", "checking waiting | Stat | sent a, deferred b"},

	{"removing", "Fine", result(Result{}),
		"gone |  | sent a, sent b", "unread now |  | sent a, sent b"},
	{"removing", "Gone", troubled(Gone),
		"recording | Record", "recording | Record"},
	{"removing", "Replaced", troubled(Replaced),
		"recording | Record", "recording | Record"},
	{"removing", "System", troubled(System),
		"recording | Record", "recording | Record"},
	{"removing", "OtherCause", troubled(OtherCause),
		"recording | Record", "recording | Record"},

	{"failing", "Fine", result(Result{}),
		"gone", "unread now"},
	{"failing", "Fine: kept", result(Result{Kept: "failed/m"}),
		"gone |  | kept", "unread now |  | kept"},
	{"failing", "System: kept, but not removed", result(Result{Kept: "failed/m", Trouble: System, Err: errDisk}),
		"finishing 10s |  | kept", "checking finishing | Stat | kept"},
	{"failing", "Gone", troubled(Gone),
		"checking finishing | Stat", "checking finishing | Stat"},
	{"failing", "Replaced", troubled(Replaced),
		"unread now", "unread now"},
	{"failing", "System", troubled(System),
		"finishing 10s", "checking finishing | Stat"},
	{"failing", "OtherCause", troubled(OtherCause),
		"finishing 10s |  | unusable", "checking finishing | Stat | unusable"},
}

// TestAnswers checks the effects of the end of an act or a job: the next state, the acts, the events.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range answers {
		t.Run(tt.state+"/"+tt.what, func(t *testing.T) {
			f := in(t, tt.state)
			tt.give(f)
			if got := f.effects(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			f = in(t, tt.state)
			f.q.Notice([]string{"m"}, nil, f.now)
			tt.give(f)
			if got := f.effects(); got != tt.came {
				t.Errorf("a file came meanwhile: %q, want %q", got, tt.came)
			}
		})
	}
}

// Troubles that an act or job never has, with the reason.
// Record is retried until it succeeds.
var noTroubles = map[string]string{
	"Stat Replaced Unsettled Writing Linked Unusable NoMessage":                          "Stat does not open the file",
	"Remove Unsettled Writing Linked Unusable NoMessage":                                 "the file was read before; only its version counts",
	"Fail Unsettled Writing Linked Unusable NoMessage":                                   "the file was read before; only its version counts",
	"Job Unsettled Writing Linked Unusable NoMessage":                                    "the file was read before; only its version counts",
	"Record Gone Replaced Unsettled Writing Linked Unusable NoMessage System OtherCause": "answered when it is done",
}

// TestEveryAnswerHasARow checks that each state with an act or a job has a row for each trouble, or a reason why it
// cannot occur.
func TestEveryAnswerHasARow(t *testing.T) {
	t.Parallel()
	const troubles = "Fine Gone Replaced Unsettled Writing Linked Unusable NoMessage System OtherCause"
	kinds := map[string]string{
		"opening": "Open", "checking": "Stat", "removing": "Remove", "failing": "Fail", "recording": "Record", "busy": "Job",
	}
	done := map[string]bool{}
	for _, tt := range answers {
		done[tt.state+" "+strings.TrimSuffix(strings.Fields(tt.what)[0], ":")] = true
	}
	never := map[string]bool{}
	for key := range noTroubles {
		words := strings.Fields(key)
		for _, trouble := range words[1:] {
			never[words[0]+" "+trouble] = true
		}
	}
	for _, s := range states {
		kind := kinds[strings.Fields(s)[0]]
		if kind == "" {
			continue // no act and no job is under way
		}
		for _, trouble := range strings.Fields(troubles) {
			if done[s+" "+trouble] == never[kind+" "+trouble] {
				t.Errorf("%s, %s with %s: no row and no reason, or both", s, kind, trouble)
			}
		}
	}
}
