package spoolgore

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/matryer/is"
)

// leaves calls each for every field of v that holds a value, and makes what they are in: two elements of every list, and
// what every pointer points to.
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

func TestEveryFieldOfAMessageIsInItsParcel(t *testing.T) {
	is := is.New(t)
	q, full, fields := knowing(nil), &Message{}, 0
	leaves(reflect.ValueOf(full).Elem(), "", func(path string, leaf reflect.Value) {
		fill(t, path, leaf, fields)
		is.True(!leaf.IsZero())
		fields++
	})
	is.True(reflect.DeepEqual(q.wrap(full).open(), full)) // all of them together
	for i := range fields {
		m, n, name := &Message{}, 0, ""
		leaves(reflect.ValueOf(m).Elem(), "", func(path string, leaf reflect.Value) {
			if n == i {
				fill(t, path, leaf, i)
				name = path
			}
			n++
		})
		if !reflect.DeepEqual(q.wrap(m).open(), m) { // and each alone, so that none is taken for another one
			t.Errorf("%s does not come back", name)
		}
	}
}
