package spoolgore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/record"
)

// The public structs of the status file and the why-file, and those of package record, have the same fields in the same
// order with the same JSON names.
func TestPublicStructsHaveTheFieldsOfRecords(t *testing.T) {
	t.Parallel()
	for public, own := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[Message]():    reflect.TypeFor[record.Message](),
		reflect.TypeFor[Recipient]():  reflect.TypeFor[record.Recipient](),
		reflect.TypeFor[History]():    reflect.TypeFor[record.History](),
		reflect.TypeFor[AttemptRun](): reflect.TypeFor[record.AttemptRun](),
		reflect.TypeFor[Attempt]():    reflect.TypeFor[record.Attempt](),
		reflect.TypeFor[Failure]():    reflect.TypeFor[record.Failure](),
	} {
		if public.NumField() != own.NumField() {
			t.Errorf("%v has %d fields, %v has %d", public, public.NumField(), own, own.NumField())
			continue
		}
		for i := range public.NumField() {
			a, b := public.Field(i), own.Field(i)
			if a.Name != b.Name || a.Tag != b.Tag || a.Type.Name() != b.Type.Name() || a.Type.Kind() != b.Type.Kind() {
				t.Errorf("%v.%s %v `%s` differs from %v.%s %v `%s`", public, a.Name, a.Type, a.Tag, own, b.Name, b.Type, b.Tag)
			}
		}
	}
}

// messageOf copies every field: the JSON of both sides is the same for a full message, and for messages with one field each.
func TestMessageOfKeepsEveryField(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	full, fields := &record.Message{}, 0
	leaves(reflect.ValueOf(full).Elem(), "Message", func(path string, leaf reflect.Value) {
		fill(t, path, leaf, fields)
		fields++
	})
	is.True(fields > 100)
	is.True(textOfJSON(t, messageOf(full)) == textOfJSON(t, full))
	for i := range fields {
		m, n, name := &record.Message{}, 0, ""
		leaves(reflect.ValueOf(m).Elem(), "Message", func(path string, leaf reflect.Value) {
			if n == i {
				fill(t, path, leaf, i)
				name = path
			}
			n++
		})
		if got, want := textOfJSON(t, messageOf(m)), textOfJSON(t, m); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	is.Equal(textOfJSON(t, messageOf(&record.Message{})), textOfJSON(t, &record.Message{})) // lists that are nil
	empty := &record.Message{To: []record.Recipient{}, Cc: []record.Recipient{}}
	is.Equal(textOfJSON(t, messageOf(empty)), textOfJSON(t, empty))
}

// The public Failure reads a why-file without loss.
func TestFailureReadsEveryFieldOfAWhyFile(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	full, n := &record.Failure{}, 0
	leaves(reflect.ValueOf(full).Elem(), "Failure", func(path string, leaf reflect.Value) {
		fill(t, path, leaf, n)
		n++
	})
	text, err := full.Encode()
	is.NoErr(err)
	got, want := Failure{}, &record.Failure{}
	is.NoErr(json.Unmarshal(text, &got))
	is.NoErr(json.Unmarshal(text, want))
	is.True(textOfJSON(t, got) == textOfJSON(t, want))
}

func textOfJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	check(t, err)
	return string(text)
}

// leaves calls each for every field of v that holds a value. It makes two elements of every list, and a target for every
// pointer.
func leaves(v reflect.Value, path string, each func(path string, leaf reflect.Value)) {
	_, isTime := v.Interface().(time.Time)
	switch {
	case v.Kind() == reflect.Struct && !isTime:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, each)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		leaves(v.Elem(), path, each)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), each)
		}
	default:
		each(path, v)
	}
}

// fill gives a field the n-th of many values, none of them zero.
func fill(t *testing.T, path string, leaf reflect.Value, n int) {
	t.Helper()
	switch leaf.Interface().(type) {
	case time.Time:
		zones := []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", -90*60)}
		leaf.Set(reflect.ValueOf(time.Date(1500+100*(n%9), 1, 2, 3, 4, 5, n+1, zones[n%len(zones)])))
		return
	case []string:
		leaf.Set(reflect.ValueOf([]string{fmt.Sprint(path, n), ""}))
		return
	case []byte:
		leaf.SetBytes([]byte{0xff, byte(n)})
		return
	}
	switch leaf.Kind() {
	case reflect.String:
		leaf.SetString(fmt.Sprint("\xff", path, n))
	case reflect.Bool:
		leaf.SetBool(true)
	case reflect.Int, reflect.Int64:
		leaf.SetInt(int64(-1-n) << 40)
	case reflect.Uint64:
		leaf.SetUint(1<<63 + uint64(n))
	default:
		t.Fatalf("%s: no value of type %v", path, leaf.Type())
	}
}
