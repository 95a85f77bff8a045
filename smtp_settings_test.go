package spoolgore

import (
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Each setting of SMTP reaches the client.
func TestEachSettingOfSMTPCounts(t *testing.T) {
	t.Parallel()
	var s SMTP
	for v, i := reflect.ValueOf(&s).Elem(), 0; i < v.NumField(); i++ {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(1)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return nil }))
		default:
			t.Errorf("SMTP.%s: a kind that the test does not know", v.Type().Field(i).Name)
		}
	}
	s.TokenSource = nil // takes the place of Secret
	got := reflect.ValueOf(s.settings(slog.New(slog.DiscardHandler)))
	for i := range got.NumField() {
		if got.Field(i).IsZero() {
			t.Errorf("SMTP.%s has no effect", got.Type().Field(i).Name)
		}
	}
}

// With NoQuotas, a refusal for a quota is final. Otherwise the mail waits.
func TestNoQuotas(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			is := is.New(t)
			relay := &smtptest.Relay{Reply: func(verb, _ string) string {
				if verb == "END" {
					return "550 5.4.5 Daily user sending limit exceeded"
				}
				return ""
			}}
			dir := t.TempDir()
			drop(t, dir, "m", simple)
			_, stop := start(t, dir, Options{Dial: relay.Dial, SMTP: SMTP{NoQuotas: off}})
			pass(time.Minute)
			stop()
			is.Equal(exists(dir, "failed", "m"), off)
			is.Equal(exists(dir, "m"), !off)
		})
	}
}

// A relay that refuses the null sender gets a report from the address of ReportFrom.
func TestReportFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		relay := &smtptest.Relay{Reply: func(verb, arg string) string {
			switch {
			case verb == "MAIL" && arg == "":
				return "501 5.5.4 Invalid MAIL FROM address provided"
			case verb == "RCPT" && arg == "b@example.org":
				return "550 5.1.1 no such user"
			}
			return ""
		}}
		dir := t.TempDir()
		drop(t, dir, "m", simple)
		_, stop := begin(t, dir, Options{Dial: relay.Dial, SMTP: SMTP{ReportFrom: "bounces@example.com"}})
		pass(time.Minute)
		stop()
		is.Equal(ls(t, dir, "failed"), []string{"m", "m.json"}) // and not the report
		is.Equal(len(relay.Messages()), 1)
		is.Equal(relay.Messages()[0].From, "bounces@example.com")
		is.Equal(relay.Messages()[0].To, []string{"a@example.com"})
	})
}
