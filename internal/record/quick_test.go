package record

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// fillAll sets every field below v to a value that is not zero.
func fillAll(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = start.Add(123456789)
			return
		}
		for i := range v.NumField() {
			fillAll(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillAll(v.Index(i))
		}
	case reflect.String:
		v.SetString(`né "1" <x>`)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(2)
	case reflect.Uint64:
		v.SetUint(1<<64 - 1)
	case reflect.Uint8:
		v.SetUint(7)
	default:
		panic("a field of another kind: " + v.Kind().String())
	}
}

// The quick decoder must have each field of a record.
func TestQuickDecoderKnowsEveryField(t *testing.T) {
	is := is.New(t)
	var m, got Message
	fillAll(reflect.ValueOf(&m).Elem())
	m.RawName = nil // rarely used: encoding/json decodes it
	for _, indent := range []string{"", "\t"} {
		text, err := json.MarshalIndent(&m, indent, indent)
		is.NoErr(err)
		got = Message{}
		is.True(new(quick).decode(text, &got)) // the quick decoder knows all fields
		var want Message
		is.NoErr(json.Unmarshal(text, &want))
		is.Equal(got, want) // the quick decoder has decoded what encoding/json decodes
	}
}

func TestQuickDecoderLeavesOtherForms(t *testing.T) {
	for name, text := range map[string]string{
		"null list": `{"To":null}`, "null": `null`, "small letters": `{"from":"a"}`, "unknown": `{"X":1}`,
		"twice": `{"From":"a","From":"b"}`, "fraction": `{"Attempts":1.0}`, "exponent": `{"Attempts":1e3}`,
		"zero in front": `{"Attempts":01}`, "minus zero": `{"Attempts":-0}`, "too large": `{"Size":99999999999999999999}`,
		"not UTF-8": "{\"From\":\"\xff\"}", "control": "{\"From\":\"a\tb\"}", "no time": `{"Enqueued":"today"}`,
		"raw name": `{"RawName":"YQpi"}`, "torn": `{"From":"a"`, "more": `{"From":"a"}x`, "comma": `{"From":"a",}`,
		"key": `{From:"a"}`, "escaped key": `{"\u0046rom":"a"}`, "list": `{"To":[{},]}`, "bool": `{"To":[{"Copy":1}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.True(!new(quick).decode([]byte(text), &Message{})) // encoding/json decodes it
		})
	}
}

// Equal strings of neighbours share memory. A change of one does not affect the other.
func TestQuickDecoderSharesStrings(t *testing.T) {
	is := is.New(t)
	var d quick
	var a, b, c Message
	is.True(d.decode([]byte(`{"From":"a@x","To":[{"Address":"r","Error":"e"}]}`), &a))
	is.True(d.decode([]byte(`{"From":"b@x","To":[{"Address":"s","Error":"e"}]}`), &b))
	is.True(d.decode([]byte(`{"To":[],"Cc":[{"Address":"t","Error":"\u0066"}]}`), &c))
	is.Equal([]string{a.From, b.From, c.From}, []string{"a@x", "b@x", ""})
	is.Equal([]string{a.To[0].Error, b.To[0].Error, c.Cc[0].Error}, []string{"e", "e", "f"})
}

// FuzzQuick: encoding/json decodes everything that the quick decoder accepts to the same value.
func FuzzQuickDecoder(f *testing.F) {
	var m Message
	fillAll(reflect.ValueOf(&m).Elem())
	text, err := json.Marshal(&m)
	check(f, err)
	f.Add(text)
	f.Add([]byte(`{"From":"a@x","To":[],"Attempts":-1,"Enqueued":"2026-11-29T11:29:35+01:00","Inode":18446744073709551615}`))
	f.Add([]byte(strings.Repeat(`{"To":[{"Address":"\ud83d\ude00\\"},`, 2) + `]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want Message
		if !new(quick).decode(text, &got) {
			return
		}
		check(t, json.Unmarshal(text, &want))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nquick: %+v\nencoding/json: %+v", text, got, want)
		}
	})
}
